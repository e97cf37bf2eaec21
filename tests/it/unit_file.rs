//! The unit that is shipped for systemd: taken by systemd itself where its tools are there, and in any case one that says
//! what the node relies on.

use crate::support::{INTERREX, temporary};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// The program, where the unit has it.
const INSTALLED: &str = "/usr/local/bin/interrex";

#[test]
fn the_shipped_unit_is_one_that_systemd_takes() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd/interrex.service");
    let text = fs::read_to_string(unit).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for line in &lines {
        let section = line.starts_with('[') && line.ends_with(']');
        assert!(section || line.split_once('=').is_some_and(|(key, _)| !key.contains(' ')), "{line}");
    }
    // Told by the node, ended alone, its guards in groups of their own, and not repeated where a file is to be edited.
    for relied_on in ["Type=notify", "KillMode=process", "Delegate=yes", "RestartPreventExitStatus=2"] {
        assert!(lines.contains(&relied_on), "{relied_on} is missing");
    }
    assert!(
        lines.contains(&format!("ExecStart={INSTALLED} node -c /etc/interrex/node.toml").as_str()),
        "{text}"
    );

    // It looks for the program that it is to start.
    let dir = temporary();
    let here = dir.path().join("interrex.service");
    fs::write(&here, text.replace(INSTALLED, INTERREX)).unwrap();
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&here)
        .output();
    match verify {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!(
                "systemd-analyze is not installed: the unit was read line by line, and nobody judged its keys"
            );
        }
        Err(error) => panic!("systemd-analyze: {error}"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // An older one only warns of what it does not know.
            assert!(
                output.status.success() && !said.contains("interrex.service:"),
                "{}: {said}",
                output.status
            );
        }
    }
}
