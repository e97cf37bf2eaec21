//! An operator's token: a secret of one line in a file of mode 0600, for whoever has no certificate.

use crate::fault::{Fault, Item};
use crate::files::secret;
use std::fmt;
use std::path::Path;

/// Fewer letters could be guessed.
const SHORTEST: usize = 16;

/// A secret that its bearer shows. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Reads a token's file.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or it holds no token.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        let fault = |why: String| Fault::new(Item::Token, path, why);
        let bytes = secret(Item::Token, path, false)?;
        let way = format!("write one with: openssl rand -hex 32 > {}", path.display());
        let text = std::str::from_utf8(&bytes).map_err(|_| fault(format!("is not text; {way}")))?;
        let mut lines = text.lines();
        let token = lines.next().unwrap_or_default().trim();
        if lines.any(|line| !line.trim().is_empty()) {
            return Err(fault(format!("has more than one line; {way}")));
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(fault(format!("holds other letters than printable ASCII; {way}")));
        }
        if token.len() < SHORTEST {
            return Err(fault(format!("holds a token shorter than {SHORTEST} letters; {way}")));
        }
        Ok(Self(token.to_owned()))
    }

    /// As the `authorization` of a call carries it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether a call's `authorization` shows this token. Takes as long for a nearly right one as for a wrong one.
    pub fn is_shown_by(&self, authorization: &str) -> bool {
        let scheme_is_bearer = authorization.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("bearer "));
        let shown = authorization.get(7..).unwrap_or_default().trim().as_bytes();
        let own = self.0.as_bytes();
        let differing = own.iter().zip(shown).fold(0, |all, (a, b)| all | (a ^ b));
        scheme_is_bearer && own.len() == shown.len() && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
