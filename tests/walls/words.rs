//! Words that stay in their room: the types of a library, or of the wire, do not leak into code that should
//! not change when the library does.
//!
//! Code is read line by line without its comments: prose may name anything. A word counts as used where it
//! stands in a path (`word::`) or in a `use`.

use std::collections::BTreeMap;

struct Word {
    word: &'static str,
    rooms: &'static [&'static str],
    instead: &'static str,
}

const WORDS: &[Word] = &[
    Word {
        word: "openraft",
        rooms: &["src/coordinator/raft/"],
        instead: "ask the handle that src/coordinator/raft offers",
    },
    Word {
        word: "sqlx",
        rooms: &["src/agent/postgres/", "src/ledger/", "src/demo/", "tests/", "chaos/"],
        instead: "ask `trait Postgres` of src/agent/postgres: SQL and GUCs are known there alone",
    },
    Word {
        word: "pb",
        rooms: &["src/api/", "src/coordinator/raft/"],
        instead: "take our own type: messages are converted at the border, in src/api/convert",
    },
    Word {
        word: "libc",
        rooms: &["src/guard/"],
        instead: "use rustix: the guard alone needs calls that rustix lacks",
    },
];

/// What belongs to the process, hence to the program that it is, and why.
const OF_THE_PROCESS: &[(&str, &str)] = &[
    ("process::exit", "return an error"),
    ("process::abort", "return an error"),
    ("set_global_default", "events go to `tracing`, whoever listens"),
    ("install_default", "hand the provider to each configuration"),
    ("set_hook", "return an error"),
    ("set_var", "take it as an argument"),
    ("set_current_dir", "take a path as an argument"),
    ("tokio::signal", "take a future that says when to end"),
    ("OnceLock", "keep it in the value that is handed around"),
    ("LazyLock", "keep it in the value that is handed around"),
    ("static mut", "keep it in the value that is handed around"),
    ("thread_local!", "keep it in the value that is handed around"),
];

/// What another program may run inside itself (src/lib.rs shows it).
const EMBEDDED: &[&str] = &[
    "src/agent/",
    "src/api/",
    "src/cluster/",
    "src/coordinator/",
    "src/lib.rs",
    "src/notices/",
    "src/rt/",
    "src/tls/",
];

/// No shipped build has it; the wall of the mutants holds that.
const NOT_SHIPPED: &str = "src/cluster/mutants.rs";

pub(crate) fn of_the_process(sources: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    let embedded = |path: &str| {
        EMBEDDED.iter().any(|room| path.starts_with(room)) && !path.contains("/tests/") && path != NOT_SHIPPED
    };
    for (path, text) in sources.iter().filter(|(path, _)| embedded(path)) {
        for (number, code) in code_lines(text) {
            for (word, instead) in OF_THE_PROCESS.iter().filter(|(word, _)| code.contains(word)) {
                lines.push(format!("{path}:{number}: '{word}' is not for what others embed: {instead}"));
            }
        }
    }
    lines
}

pub(crate) fn breaches(sources: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, text) in sources {
        for (number, code) in code_lines(text) {
            for word in WORDS.iter().filter(|w| !w.rooms.iter().any(|room| path.starts_with(room))) {
                if uses(code, word.word) {
                    lines.push(format!(
                        "{path}:{number}: '{}' stays in {}: {}",
                        word.word,
                        word.rooms.join(", "),
                        word.instead
                    ));
                }
            }
            if !path.starts_with("src/guard/") && code.contains(concat!("allow(", "unsafe_code")) {
                lines.push(format!("{path}:{number}: unsafe code stays in src/guard: use rustix"));
            }
        }
    }
    lines
}

pub(crate) fn without_door_plate(sources: &BTreeMap<String, String>) -> Vec<String> {
    let plain = sources.iter().filter(|(_, text)| !text.starts_with("//!"));
    plain
        .map(|(path, _)| {
            format!("{path}: has no door-plate: begin with //! what lives here, what it promises, what it leaves to others")
        })
        .collect()
}

/// Line numbers from 1, each line up to its comment. A `//` inside a string ends the line early, which may
/// miss a use on that line and never invents one.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
}

fn uses(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        let whole = !before.ends_with(letter) && !after.starts_with(letter);
        // A string names no path, however much it looks like one: a log filter, a message.
        let quoted = before.matches('"').count() % 2 == 1;
        let in_path = after.starts_with("::") || before.ends_with("::");
        let in_use = before.trim_start().trim_start_matches("pub ").starts_with("use ");
        whole && !quoted && (in_path || in_use)
    })
}

#[cfg(test)]
mod breached {
    use super::*;

    fn told(path: &str, text: &str) -> String {
        breaches(&[(path.to_string(), text.to_string())].into()).join("\n")
    }

    #[test]
    fn a_library_s_words_outside_their_room_are_told_with_the_way_out() {
        assert_eq!(
            told("src/coordinator/driver.rs", "//! x\nuse openraft::Raft;\n"),
            "src/coordinator/driver.rs:2: 'openraft' stays in src/coordinator/raft/: ask the handle that \
             src/coordinator/raft offers"
        );
        assert!(
            told("src/agent/steps/seal.rs", "    let c = sqlx::query(\"x\");").contains("'sqlx' stays in")
        );
        assert!(told("src/agent/session.rs", "use interrex_api::pb;").contains("'pb' stays in"));
        assert!(told("src/agent/session.rs", "use interrex_api::{log, pb::Goal};").contains("'pb' stays in"));
    }

    #[test]
    fn prose_strings_and_longer_names_are_no_use() {
        for text in
            ["// as openraft::Raft does", "let filter = \"openraft::x=warn\";", "let openraft_like = 1;"]
        {
            assert_eq!(told("src/main.rs", text), "");
        }
        assert_eq!(told("src/coordinator/raft/node.rs", "use openraft::Raft;"), "");
    }

    #[test]
    fn what_is_the_program_s_own_is_told_where_others_embed_and_nowhere_else() {
        let told = |path: &str, text: &str| of_the_process(&[(path.to_string(), text.to_string())].into());
        assert_eq!(
            told("src/coordinator/x.rs", "\n    std::process::exit(1);"),
            ["src/coordinator/x.rs:2: 'process::exit' is not for what others embed: return an error"]
        );
        assert_eq!(told("src/node.rs", "use tokio::signal::unix::signal;"), [""; 0]);
        assert_eq!(told("src/agent/x.rs", "// never process::exit"), [""; 0]);
    }

    #[test]
    fn unsafe_code_outside_the_guard_and_a_file_without_door_plate_are_told() {
        let allowed = concat!("#[allow(", "unsafe_code, reason = \"fast\")]");
        assert!(told("src/agent/x.rs", allowed).contains("unsafe code stays in src/guard"));
        assert_eq!(told("src/guard/x.rs", allowed), "");
        let plain = [("src/x.rs".to_string(), "fn x() {}".to_string())].into();
        assert!(without_door_plate(&plain)[0].starts_with("src/x.rs: has no door-plate"));
    }
}
