//! Where an operator wrote down what an agent was told, so that a line which asks for an edit names file and key. A
//! program that embeds an agent wrote nothing down: its lines name the thing alone.

use std::path::PathBuf;

/// The file that an agent's configuration came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The file; absent where a program embeds the agent.
    pub file: Option<PathBuf>,
    /// The key in it that names the coordinators: an agent beside a coordinator takes them from that one's members.
    pub coordinators_key: &'static str,
}

impl Written {
    /// The file as a line opens with it, or nothing.
    pub(crate) fn file(&self) -> String {
        self.file.as_ref().map_or_else(String::new, |file| format!("{}: ", file.display()))
    }

    /// File and key as a line opens with them, or nothing.
    pub(crate) fn key(&self, key: &str) -> String {
        self.file.as_ref().map_or_else(String::new, |_| format!("{}key '{key}': ", self.file()))
    }
}
