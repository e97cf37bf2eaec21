//! The names that a certificate proves: the DNS names among its subject alternative names. A machine is meant by its
//! name alone, `n1`; wildcards prove nothing here, and nothing is read from the subject.

use std::collections::BTreeSet;
use std::fmt;
use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// What a certificate calls its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// The names of a certificate whose handshake has been verified; none when it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let parsed = EndEntityCert::try_from(certificate).ok();
        let names = |cert: &EndEntityCert<'_>| cert.valid_dns_names().map(str::to_ascii_lowercase).collect();
        Self(parsed.as_ref().map(names).unwrap_or_default())
    }

    /// Whether it is the certificate of this machine.
    pub fn has(&self, machine: &str) -> bool {
        self.0.contains(machine)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        if names.is_empty() { f.write_str("nobody") } else { f.write_str(&names.join(", ")) }
    }
}
