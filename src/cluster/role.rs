//! The name of an application's role, judged alike wherever it enters: the node file, the command line, a request. It is
//! a name that needs no quotes, and none of PostgreSQL's own or of Interrex's.

/// Judges a name.
///
/// # Errors
/// Why it cannot be an application's, as the rest of a sentence that names it.
pub fn check(name: &str) -> Result<(), &'static str> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let plain = |c: char| first(c) || c.is_ascii_digit();
    match name {
        "postgres" | "public" | "none" => Err("belongs to PostgreSQL"),
        "interrex" | "interrex_repl" => Err("is a role of Interrex itself"),
        _ if name.starts_with("pg_") => Err("belongs to PostgreSQL"),
        // PostgreSQL cuts longer ones off (NAMEDATALEN), and two could become one.
        _ if name.len() <= 63 && name.starts_with(first) && name.chars().all(plain) => Ok(()),
        _ => Err("is not of the form [a-z_][a-z0-9_]{0,62}"),
    }
}

/// A password that a role may have, or why it may not. PostgreSQL takes an empty one for none.
///
/// # Errors
/// What is wrong with it; the password is not repeated.
pub fn check_password(password: &str) -> Result<(), &'static str> {
    match password {
        "" => Err("is empty"),
        _ if password.chars().any(char::is_control) => Err("has a line break or another control character"),
        _ if password.len() > MOST_OF_A_PASSWORD => Err("is longer than 1000 bytes"),
        _ => Ok(()),
    }
}

/// PostgreSQL's own bound of what a client sends as one is not much higher.
const MOST_OF_A_PASSWORD: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::{check, check_password};

    #[test]
    fn an_application_s_role_has_a_plain_name_and_none_of_postgresql_s_or_ours() {
        assert_eq!(check("app_1"), Ok(()));
        assert_eq!(check(&"a".repeat(63)), Ok(()));
        for bad in ["", "App", "a b", "1a", "pg_x", "interrex", "postgres", "a\"b", &"a".repeat(64)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_a_line_of_something() {
        assert_eq!(check_password("pä ss'w\\ord"), Ok(()));
        for bad in ["", "a\nb", "a\0b", &"a".repeat(1_001)] {
            assert!(check_password(bad).is_err(), "{bad:?}");
        }
    }
}
