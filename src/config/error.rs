//! What is wrong, one line a problem.
//!
//! All problems that can be seen at once are told at once, so that a file is corrected in one go.
//! The two error types differ in who has to act: a `ConfigError` asks for an edit (exit 2), a
//! `WorldError` for a change of the machine (exit 1).

use std::fmt;

/// One problem, in one line: where, which key, what was found, what was expected, the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: String,
    line: Option<usize>,
    text: String,
}

impl Problem {
    /// A problem of `file`; `line` counts from 1.
    pub(crate) fn new(file: &str, line: Option<usize>, text: impl Into<String>) -> Self {
        Problem { file: file.into(), line, text: text.into() }
    }

    pub(crate) fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.text),
            None => write!(f, "{}: {}", self.file, self.text),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// The node file must be edited. Prints one line a problem, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Sorted by line, so that a person walks through the file once.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(Problem::line);
        ConfigError { problems }
    }

    /// The problems, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The exit code of this class: 2, a file or an argument is to be edited.
    pub fn exit_code(&self) -> u8 {
        2
    }
}

/// The machine refuses what the node file asks for. Prints one line a problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct WorldError {
    problems: Vec<Problem>,
}

impl WorldError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        WorldError { problems }
    }

    /// The problems, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The exit code of this class: 1, the world refuses.
    pub fn exit_code(&self) -> u8 {
        1
    }
}
