//! What went wrong in a handshake, in words for people: which side refused, why, and what to do.

use std::error::Error;
use std::io;
use std::time::Duration;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, InvalidMessage};

/// The words for an error of a handshake. `other` is what to call the other end: `the server`, `n2`.
pub fn in_words(error: &io::Error, other: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => certificate(why, other),
        Some(rustls::Error::AlertReceived(alert)) => alerted(*alert, other),
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            format!("{other} does not speak TLS: is tls = \"off\" there? use the same on both sides")
        }
        Some(rustls::Error::NoCertificatesPresented) => format!("{other} shows no certificate"),
        Some(other_fault) => format!("the TLS handshake with {other} failed: {other_fault}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("{other} closed the connection during the TLS handshake")
        }
        None => match error.source() {
            Some(source) => source.to_string(),
            None => error.to_string(),
        },
    }
}

fn certificate(why: &CertificateError, other: &str) -> String {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!(
                "the certificate of {other} is not signed by the CA that is believed here: use one CA for all"
            )
        }
        CertificateError::Expired => format!("the certificate of {other} has expired: renew it there"),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()));
            format!("the certificate of {other} expired {} ago: renew it there", ago(since))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {other} is not valid yet: is the clock right on both sides?")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<String> = presented.iter().map(|name| plain(name)).collect();
            let presented = if presented.is_empty() { "nobody".to_owned() } else { presented.join(", ") };
            let wanted = expected.to_str();
            format!(
                "the certificate shown there is for {presented}, not for {wanted}: correct the address, or write \
                 MACHINE=host:port so that the machine's name is what counts"
            )
        }
        CertificateError::NotValidForName => format!("the certificate of {other} is for somebody else"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!(
                "the certificate of {other} is not made for this side of a connection (extended key usage)"
            )
        }
        why => format!("the certificate of {other} is not believed: {why}"),
    }
}

/// `DnsName("n1")` as `n1`, `IpAddress(::1)` as `::1`: presented names come in their debug form.
fn plain(name: &str) -> String {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inside.trim_matches('"').to_owned()
}

fn alerted(alert: AlertDescription, other: &str) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => "it is not signed by the CA that is believed there",
        AlertDescription::DecryptError => "its signature is not of the CA that is believed there",
        AlertDescription::CertificateExpired => "it has expired: renew it here",
        AlertDescription::CertificateRequired => return format!("{other} wants a certificate: give one"),
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked => "see its log for the reason",
        AlertDescription::ProtocolVersion => {
            return format!("{other} does not speak TLS 1.3: is it of another kind?");
        }
        alert => return format!("{other} refused the TLS handshake ({alert:?}): see its log"),
    };
    format!("{other} does not believe this side's certificate: {why}")
}

/// A length of time as people say it, in its largest unit.
pub fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds / 60, "minute"),
        7_200..=172_799 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
