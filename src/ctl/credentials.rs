//! As whom an operator asks: a certificate, a token, or nobody in particular.
//!
//! Each option has an environment variable of its own, so that a shell is set up once. The files are read for each
//! command, before anything is dialled.

use crate::CtlError;
use clap::Args;
use interrex_tls::{Fault, Files, Item, Owner, Tls, Token};
use std::path::PathBuf;

/// The files that a command is given.
#[derive(Debug, Clone, Default, Args)]
pub struct Credentials {
    /// The CA whose certificates are believed (PEM); speaks TLS. Without it: plain text.
    #[arg(long, global = true, value_name = "FILE", env = "INTERREX_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
    /// Your certificate (PEM), signed by that CA.
    #[arg(long, global = true, value_name = "FILE", env = "INTERREX_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM, mode 0600).
    #[arg(long, global = true, value_name = "FILE", env = "INTERREX_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// The coordinators' admin token (mode 0600), instead of a certificate.
    #[arg(long, global = true, value_name = "FILE", env = "INTERREX_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

impl Credentials {
    /// Reads them.
    ///
    /// # Errors
    /// They do not fit together, or a file cannot be used.
    pub(crate) fn load(&self) -> Result<(Option<Tls>, Option<Token>), CtlError> {
        let own = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(usage("--tls-cert without --tls-key: give both")),
            (None, Some(_)) => return Err(usage("--tls-key without --tls-cert: give both")),
        };
        let tls = match (&self.tls_ca, own) {
            (Some(ca), own) => {
                let loaded = Tls::load(Files { ca: ca.clone(), own }, Owner::Operator);
                Some(loaded.map_err(|faults| refused(&faults))?)
            }
            (None, None) => None,
            (None, Some(_)) => {
                return Err(usage(
                    "--tls-cert without --tls-ca: give the CA that the coordinators' certificates are of",
                ));
            }
        };
        let token = self.token_file.as_deref().map(Token::load).transpose();
        Ok((tls, token.map_err(|fault| refused(&[fault]))?))
    }
}

fn usage(line: &str) -> CtlError {
    CtlError::Usage(line.to_owned())
}

fn refused(faults: &[Fault]) -> CtlError {
    let line = |fault: &Fault| {
        let option = match fault.item {
            Item::Ca => "--tls-ca",
            Item::Cert => "--tls-cert",
            Item::Key => "--tls-key",
            Item::Token => "--token-file",
        };
        format!("{option}: {fault}")
    };
    CtlError::Usage(faults.iter().map(line).collect::<Vec<_>>().join("\n"))
}
