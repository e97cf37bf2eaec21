//! The outer form of the WAL, the same from PostgreSQL 9.5 to 18: pages with headers, records that run across them,
//! CRC-32C. Only as much as it takes to say where a record ends and whether it is whole.

/// Page header of an ordinary page, and of the first page of a segment.
pub(super) const SHORT_HEADER: u64 = 24;
pub(super) const LONG_HEADER: u64 = 40;
/// Fixed head of a record.
pub(super) const RECORD_HEADER: usize = 24;

const FIRST_IS_CONTRECORD: u16 = 0x0001;
const HAS_LONG_HEADER: u16 = 0x0002;
const FIRST_IS_OVERWRITE_CONTRECORD: u16 = 0x0008;

/// What a page says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) magic: u16,
    info: u16,
    pub(super) timeline: u32,
    /// LSN of its first byte. A recycled segment still has its old ones.
    pub(super) address: u64,
    /// Bytes of the record that began on an earlier page.
    pub(super) remaining: u32,
    /// In a long header: system identifier, segment size, page size.
    pub(super) long: Option<(u64, u32, u32)>,
}

impl PageHeader {
    /// Reads the header of a page; `None` when the bytes cannot be one.
    pub(super) fn read(page: &[u8]) -> Option<Self> {
        let info = u16::from_ne_bytes(field(page, 2)?);
        let long = if info & HAS_LONG_HEADER == 0 {
            None
        } else {
            let number = |at| field(page, at).map(u32::from_ne_bytes);
            Some((u64::from_ne_bytes(field(page, 24)?), number(32)?, number(36)?))
        };
        Some(Self {
            magic: u16::from_ne_bytes(field(page, 0)?),
            info,
            timeline: u32::from_ne_bytes(field(page, 4)?),
            address: u64::from_ne_bytes(field(page, 8)?),
            remaining: u32::from_ne_bytes(field(page, 16)?),
            long,
        })
    }

    pub(super) fn size(&self) -> u64 {
        if self.long.is_some() { LONG_HEADER } else { SHORT_HEADER }
    }

    /// The page begins with the rest of a record.
    pub(super) fn continues(&self) -> bool {
        self.info & FIRST_IS_CONTRECORD != 0
    }

    /// The record that would run onto this page was given up; a new one begins here instead.
    pub(super) fn overwrites(&self) -> bool {
        self.info & FIRST_IS_OVERWRITE_CONTRECORD != 0
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Length of the record that begins with `start`; `None` when it is none.
pub(super) fn record_length(start: &[u8]) -> Option<usize> {
    const LARGEST: usize = 1 << 30;
    let length = usize::try_from(u32::from_ne_bytes(field(start, 0)?)).ok()?;
    (RECORD_HEADER..=LARGEST).contains(&length).then_some(length)
}

/// Start of the record before this one, as it says itself.
pub(super) fn record_prev(record: &[u8]) -> Option<u64> {
    field(record, 8).map(u64::from_ne_bytes)
}

/// A segment switch: what follows it in the segment is empty.
pub(super) fn is_switch(record: &[u8]) -> bool {
    const XLOG: u8 = 0;
    const SWITCH: u8 = 0x40;
    matches!(record.get(16..18), Some(&[info, manager]) if manager == XLOG && info & 0xF0 == SWITCH)
}

/// Whether the record's checksum is right: it covers the body first, then the head without the checksum itself.
pub(super) fn is_whole(record: &[u8]) -> bool {
    let (Some(body), Some(head), Some(told)) =
        (record.get(RECORD_HEADER..), record.get(..20), field(record, 20))
    else {
        return false;
    };
    !crc32c(crc32c(!0, body), head) == u32::from_ne_bytes(told)
}

fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let low = crc ^ u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let high = u32::from_le_bytes([word[4], word[5], word[6], word[7]]);
        let at = |table: usize, word: u32, shift: u32| TABLES[table][(word >> shift) as usize & 0xFF];
        crc = at(7, low, 0)
            ^ at(6, low, 8)
            ^ at(5, low, 16)
            ^ at(4, low, 24)
            ^ at(3, high, 0)
            ^ at(2, high, 8)
            ^ at(1, high, 16)
            ^ at(0, high, 24);
    }
    words.remainder().iter().fold(crc, |crc, &byte| (crc >> 8) ^ TABLES[0][(crc as u8 ^ byte) as usize])
}

/// Eight bytes a step: recovery may begin a gigabyte before the end of WAL.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[table - 1][i];
            tables[table][i] = (before >> 8) ^ tables[0][before as usize & 0xFF];
            i += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli_s() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        let long: Vec<u8> = (0..=255).cycle().take(1001).collect();
        let slowly = long.iter().fold(!0, |crc, byte| crc32c(crc, &[*byte]));
        assert_eq!(crc32c(!0, &long), slowly);
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(record_length(&[0; 8]), None);
        assert_eq!(record_length(&[23, 0, 0, 0]), None);
        assert_eq!(record_length(&[]), None);
    }
}
