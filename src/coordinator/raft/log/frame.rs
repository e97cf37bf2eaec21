//! Frames: what is written to a segment in one piece, and how a torn one is told from a damaged one.
//!
//! ```text
//! magic u32 | payload length u32 | flushed u64 | crc32(payload) u32 | crc32(the 20 bytes before) u32 | payload | 0xED
//! ```
//! All numbers are little-endian. `flushed` is the length of this file that was known to be on disk when the frame was
//! written. It makes the question "may this be cut off?" decidable: a frame that starts at or after every `flushed`
//! in the file was never acknowledged by what follows it, so a crash may have torn it; one that lies before was on
//! disk, and if it does not read back, the disk has lost it.
//!
//! A crash leaves a short file, or (where a file system extends the length before the data) zeros at the end. So a
//! bad frame is *torn* if the file ends within it or ends with a zero byte, which no frame does; anything else is
//! damage, and damage is never cut off: it could be a vote.

/// Bytes before the payload.
pub(crate) const HEADER: usize = 24;
/// The last byte of each frame: not zero, so that an unwritten tail can be told from a written one.
const END: u8 = 0xED;
const MAGIC: [u8; 4] = *b"IXRL";
/// An upper bound for one frame, so that a damaged length is not believed.
const MAX_PAYLOAD: usize = 256 << 20;

/// A frame that was read back whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Where it starts in the file.
    pub(crate) at: usize,
    /// Where the next one starts.
    pub(crate) end: usize,
    /// How much of the file was on disk when it was written.
    pub(crate) flushed: u64,
    /// The records.
    pub(crate) payload: &'a [u8],
}

/// What stands after the last whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    Clean,
    /// From `at` on there is the beginning of a frame that a crash tore; nothing in it was ever acknowledged.
    Torn {
        /// Where to cut.
        at: usize,
    },
    /// Something at `at` was on disk once and does not read back.
    Damaged {
        /// Where it begins.
        at: usize,
        /// In words.
        why: String,
    },
}

/// Puts one frame around `payload`. `flushed` counts bytes of the file.
pub(crate) fn encode(payload: &[u8], flushed: u64) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + payload.len() + 1);
    frame.extend_from_slice(&MAGIC);
    let len = u32::try_from(payload.len()).expect("the writer splits batches far below 4 GiB");
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&flushed.to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let header_crc = crc32fast::hash(&frame);
    frame.extend_from_slice(&header_crc.to_le_bytes());
    frame.extend_from_slice(payload);
    frame.push(END);
    frame
}

/// Reads all whole frames of a segment, and says what stands after them.
pub(crate) fn scan(file: &[u8]) -> (Vec<Frame<'_>>, Tail) {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < file.len() {
        match decode(file, at) {
            Ok(frame) => {
                at = frame.end;
                frames.push(frame);
            }
            Err(why) => return (frames, judge(file, at, why)),
        }
    }
    (frames, Tail::Clean)
}

fn u32_at(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]])
}

fn decode(file: &[u8], at: usize) -> Result<Frame<'_>, &'static str> {
    let header = file.get(at..at + HEADER).ok_or("the file ends within a frame's header")?;
    if crc32fast::hash(&header[..20]) != u32_at(header, 20) || header[..4] != MAGIC {
        return Err("a frame's header does not match its checksum");
    }
    let len = u32_at(header, 4) as usize;
    if len > MAX_PAYLOAD {
        return Err("a frame claims to be larger than any frame is");
    }
    let start = at + HEADER;
    let rest = file.get(start..start + len + 1).ok_or("the file ends within a frame")?;
    let (payload, end) = rest.split_at(len);
    if crc32fast::hash(payload) != u32_at(header, 16) || end != [END] {
        return Err("a frame does not match its checksum");
    }
    let flushed = u64::from(u32_at(header, 8)) | u64::from(u32_at(header, 12)) << 32;
    Ok(Frame { at, end: start + len + 1, flushed, payload })
}

/// Torn, or damaged? `at` is where reading stopped.
fn judge(file: &[u8], at: usize, why: &str) -> Tail {
    // A later frame that reads well and says that `at` was on disk before it was written settles it.
    let later = (at + 1..file.len())
        .filter(|i| file[*i..].starts_with(&MAGIC))
        .filter_map(|i| decode(file, i).ok())
        .find(|frame| frame.flushed > at as u64);
    if let Some(frame) = later {
        let why = format!("{why}, though the frame at offset {} says that it was on disk", frame.at);
        return Tail::Damaged { at, why };
    }
    let short = match decode_len(file, at) {
        Some(end) => end > file.len(),
        None => file.len() - at < HEADER,
    };
    if short || file.last() == Some(&0) {
        return Tail::Torn { at };
    }
    Tail::Damaged { at, why: format!("{why}, and the file goes on to its end, so no crash did this") }
}

/// Where the frame at `at` ends by its own header, if that header is sound.
fn decode_len(file: &[u8], at: usize) -> Option<usize> {
    let header = file.get(at..at + HEADER)?;
    let sound = crc32fast::hash(&header[..20]) == u32_at(header, 20);
    sound.then(|| at + HEADER + u32_at(header, 4) as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_frames() -> (Vec<u8>, usize) {
        let first = encode(b"first vote", 0);
        let mut file = first.clone();
        file.extend(encode(b"second entry", first.len() as u64));
        (file, first.len())
    }

    #[test]
    fn frames_read_back_in_order() {
        let (file, second) = two_frames();
        let (frames, tail) = scan(&file);
        assert_eq!(tail, Tail::Clean);
        assert_eq!(
            frames.iter().map(|f| f.payload).collect::<Vec<_>>(),
            [&b"first vote"[..], b"second entry"]
        );
        assert_eq!(frames[1].flushed, second as u64);
    }

    #[test]
    fn a_file_cut_anywhere_in_the_last_frame_is_torn_there() {
        let (file, second) = two_frames();
        for cut in second + 1..file.len() {
            assert_eq!(scan(&file[..cut]).1, Tail::Torn { at: second }, "cut at {cut}");
        }
    }

    #[test]
    fn zeros_in_place_of_the_last_frames_end_are_torn() {
        let (mut file, second) = two_frames();
        let len = file.len();
        for from in (second..len).rev() {
            file[from] = 0;
            assert_eq!(scan(&file).1, Tail::Torn { at: second }, "zeros from {from}");
        }
    }

    #[test]
    fn no_flipped_bit_anywhere_is_taken_for_a_torn_end() {
        let (file, second) = two_frames();
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let at = if bit / 8 < second { 0 } else { second };
            assert!(matches!(scan(&bad).1, Tail::Damaged { at: found, .. } if found == at), "bit {bit}");
        }
    }
}
