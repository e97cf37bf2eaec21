//! An operator's token: a secret of one line in a file of mode 0600, for whoever has no certificate.

use crate::fault::{Fault, Item};
use crate::files::secret;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Fewer letters could be guessed.
const SHORTEST: usize = 16;

/// A secret that its bearer shows. Never printed. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Token {
    path: Arc<PathBuf>,
    now: Arc<RwLock<Arc<str>>>,
}

impl Token {
    /// Reads a token's file. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or it holds no token.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        let now = Arc::new(RwLock::new(Self::read(path)?));
        Ok(Self { path: Arc::new(path.to_owned()), now })
    }

    /// Reads the file again; true when it holds another token, which is in use from now on. Blocks as loading does.
    ///
    /// # Errors
    /// As for loading; then the former token stays in use.
    pub fn refresh(&self) -> Result<bool, Fault> {
        let read = Self::read(&self.path)?;
        let changed = *read != *self.now();
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(changed)
    }

    fn now(&self) -> Arc<str> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(path: &Path) -> Result<Arc<str>, Fault> {
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
        Ok(token.into())
    }

    /// As the `authorization` of a call carries it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.now())
    }

    /// Whether a call's `authorization` shows this token. Takes as long for a nearly right one as for a wrong one.
    pub fn is_shown_by(&self, authorization: &str) -> bool {
        let scheme_is_bearer = authorization.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("bearer "));
        let shown = authorization.get(7..).unwrap_or_default().trim().as_bytes();
        let own = self.now();
        let own = own.as_bytes();
        let differing = own.iter().zip(shown).fold(0, |all, (a, b)| all | (a ^ b));
        scheme_is_bearer && own.len() == shown.len() && differing == 0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        *self.now() == *other.now()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn a_renewed_token_replaces_the_former_for_every_holder_and_a_bad_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let (first, second) = ("the-first-token-of-all", "the-second-token-of-all");
        write(&path, first);
        let token = Token::load(&path).unwrap();
        let held = token.clone();
        assert!(!token.refresh().unwrap(), "it says what it said");
        write(&path, second);
        assert!(token.refresh().unwrap());
        let shows = |token: &Token, text: &str| token.is_shown_by(&format!("Bearer {text}"));
        assert!(shows(&held, second) && !shows(&held, first), "clones are the same");
        assert_eq!(held.bearer(), format!("Bearer {second}"));
        write(&path, "short");
        assert!(token.refresh().is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(token.refresh().is_err());
        assert!(shows(&held, second), "the former stays in use");
    }
}
