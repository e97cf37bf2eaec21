//! Files that a person wrote, read whole. A pipe or a device is refused before it is opened: reading it could wait for
//! ever, or never end.

use std::fs;
use std::path::Path;

/// More than any file of ours holds; a larger one is not what it is taken for.
const MOST: u64 = 1 << 20;

/// The text of a regular file, or why there is none.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let unreadable = |why: std::io::Error| format!("cannot be read: {why}");
    let meta = fs::metadata(path).map_err(unreadable)?;
    if meta.is_dir() {
        return Err("is a directory".into());
    }
    if !meta.is_file() {
        return Err("is no regular file, but a pipe, a socket or a device".into());
    }
    if meta.len() > MOST {
        return Err(format!("has {} bytes, more than {MOST}", meta.len()));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_a_regular_file_of_text_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("text"), "name").unwrap();
        fs::write(at("bytes"), [0xff, 0xfe]).unwrap();
        fs::write(at("large"), vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        assert_eq!(read(&at("text")).unwrap(), "name");
        for (name, why) in [
            ("bytes", "is not UTF-8 text"),
            ("large", "has 1048577 bytes, more than 1048576"),
            ("pipe", "is no regular file, but a pipe, a socket or a device"),
            ("", "is a directory"),
            ("none", "cannot be read: No such file or directory (os error 2)"),
        ] {
            assert_eq!(read(&at(name)).unwrap_err(), why);
        }
    }
}
