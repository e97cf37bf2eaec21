//! The one difference that exit codes tell among errors: whether an argument is to be edited, or the world refused.

/// An argument that is to be edited.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What to exit with after an error: 2 when an argument is to be edited, 1 otherwise.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() { 2 } else { 1 }
}
