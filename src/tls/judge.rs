//! Whether the files fit together: PEM, a certificate that the CA signed, not expired, for the machine that it is to
//! be, with its own key. Only what passed all of it is ever used.

use crate::Names;
use crate::fault::{Fault, Item};
use crate::files::{Files, open_to_all, secret};
use crate::tls::Owner;
use crate::words::ago;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use webpki::{EndEntityCert, KeyUsage};

const WAY: &str = "docs/tls.md tells how one is made";
/// Every node and every tool is ours: nobody needs more.
const H2: &[u8] = b"h2";

/// Files that fit together, ready for both ends of a connection.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) client: Arc<ClientConfig>,
    /// Absent without an own certificate.
    pub(crate) server: Option<Arc<ServerConfig>>,
    /// When the own certificate ends.
    pub(crate) expires: Option<UnixTime>,
}

struct Own<'f> {
    path: &'f Path,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Reads and judges. All faults that can be seen at once are told at once.
pub(crate) fn judge(files: &Files, owner: &Owner, now: UnixTime) -> Result<Judged, Vec<Fault>> {
    let provider = Arc::new(ring::default_provider());
    let roots = authorities(&files.ca);
    let own = match &files.own {
        None => Ok(None),
        Some((cert, key)) => pair(cert, key, &provider).map(Some),
    };
    let (roots, own) = match (roots, own) {
        (Ok(roots), Ok(own)) => (Arc::new(roots), own),
        (roots, own) => {
            return Err(roots.err().into_iter().chain(own.err().into_iter().flatten()).collect());
        }
    };
    let expires = match &own {
        None => None,
        Some(own) => Some(
            believable(own, &roots, owner, &provider, now)
                .map_err(|why| vec![Fault::new(Item::Cert, own.path, why)])?,
        ),
    };
    let unusable = |why: String| vec![Fault::new(Item::Ca, &files.ca, format!("cannot be used: {why}"))];
    configure(provider, roots, own)
        .map(|(client, server)| Judged { client, server, expires })
        .map_err(unusable)
}

fn authorities(path: &Path) -> Result<RootCertStore, Fault> {
    let fault = |why: String| Fault::new(Item::Ca, path, why);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Item::Ca, path)? {
        roots
            .add(certificate)
            .map_err(|e| fault(format!("holds what is no certificate of a CA: {e}; {WAY}")))?;
    }
    Ok(roots)
}

fn certificates(item: Item, path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let fault = |why: String| Fault::new(item, path, why);
    let bytes = open_to_all(item, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(read) if read.is_empty() => Err(fault(format!("holds no certificate in PEM; {WAY}"))),
        Ok(read) => Ok(read),
        Err(e) => Err(fault(format!("is not PEM: {e}; {WAY}"))),
    }
}

fn pair<'f>(cert: &'f Path, key: &Path, provider: &CryptoProvider) -> Result<Own<'f>, Vec<Fault>> {
    let fault = |why: String| vec![Fault::new(Item::Key, key, why)];
    let (chain, read) = match (certificates(Item::Cert, cert), secret(Item::Key, key, true)) {
        (Ok(chain), Ok(read)) => (chain, read),
        (chain, read) => return Err(chain.err().into_iter().chain(read.err()).collect()),
    };
    let read = PrivateKeyDer::from_pem_slice(&read).map_err(|e| {
        let locked = read.windows(9).any(|w| w == b"ENCRYPTED");
        fault(match locked {
            true => format!(
                "is locked by a passphrase, and nobody is there to type it; unlock it: openssl pkey -in {0} -out {0}.new",
                key.display()
            ),
            false => format!("holds no private key in PEM ({e}); {WAY}"),
        })
    })?;
    let own = Own { path: cert, chain, key: read };
    match CertifiedKey::from_der(own.chain.clone(), own.key.clone_key(), provider) {
        Ok(_) => Ok(own),
        Err(tokio_rustls::rustls::Error::InconsistentKeys(_)) => {
            let cert = cert.display();
            Err(fault(format!(
                "is not the key of the certificate \"{cert}\"; name the two that were made together"
            )))
        }
        Err(e) => {
            Err(fault(format!("cannot be used with the certificate \"{}\": {e}; {WAY}", cert.display())))
        }
    }
}

/// Whether others will believe it, and until when.
fn believable(
    own: &Own<'_>,
    roots: &RootCertStore,
    owner: &Owner,
    provider: &CryptoProvider,
    now: UnixTime,
) -> Result<UnixTime, String> {
    let broken = |e: webpki::Error| match e {
        webpki::Error::UnsupportedCertVersion => {
            format!("is of version 1, which names nobody; make one with subjectAltName; {WAY}")
        }
        e => format!("cannot be read: {e:?}; {WAY}"),
    };
    let [first, intermediates @ ..] = own.chain.as_slice() else {
        return Err(format!("holds no certificate in PEM; {WAY}"));
    };
    let parsed = EndEntityCert::try_from(first).map_err(broken)?;
    let verify = |time, usage| {
        let algorithms = provider.signature_verification_algorithms.all;
        parsed.verify_for_usage(algorithms, &roots.roots, intermediates, time, usage, None, None).map(|_| ())
    };
    verify(now, KeyUsage::client_auth()).map_err(|e| disbelieved(e, now, "client"))?;
    if let Owner::Machine(machine) = owner {
        verify(now, KeyUsage::server_auth()).map_err(|e| disbelieved(e, now, "server"))?;
        let names = Names::of(first);
        if !names.has(machine) {
            return Err(format!(
                "is for {names}, not for this machine, {machine}; make one with subjectAltName = DNS:{machine}; {WAY}"
            ));
        }
    }
    // Asked for a day beyond all days, the verifier tells the last one.
    let beyond = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    match verify(beyond, KeyUsage::client_auth()) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Ok(not_after),
        _ => Ok(beyond),
    }
}

fn disbelieved(e: webpki::Error, now: UnixTime, side: &str) -> String {
    match e {
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            format!("is not signed by the CA that is named beside it; name the CA that signed it; {WAY}")
        }
        webpki::Error::CertExpired { not_after, .. } => {
            let since = Duration::from_secs(now.as_secs().saturating_sub(not_after.as_secs()));
            format!("expired {} ago; renew it; {WAY}", ago(since))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            let until = Duration::from_secs(not_before.as_secs().saturating_sub(now.as_secs()));
            format!("is not valid yet, but in {}; correct this machine's clock", ago(until))
        }
        webpki::Error::CaUsedAsEndEntity => {
            format!("is a CA's own certificate; sign one for this machine with it; {WAY}")
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => format!(
            "is not made for the {side}'s side; make one with extendedKeyUsage = serverAuth, clientAuth; {WAY}"
        ),
        e => format!("would not be believed by others: {e:?}; {WAY}"),
    }
}

/// Sessions are never resumed: whoever connects shows the certificate that it has now.
fn configure(
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    own: Option<Own<'_>>,
) -> Result<(Arc<ClientConfig>, Option<Arc<ServerConfig>>), String> {
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots.clone());
    let Some(Own { chain, key, .. }) = own else {
        return Ok((Arc::new(finish(client.with_no_client_auth())), None));
    };
    let client = client.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|e| e.to_string())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| e.to_string())?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| e.to_string())?;
    server.alpn_protocols = vec![H2.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok((Arc::new(finish(client)), Some(Arc::new(server))))
}

fn finish(mut client: ClientConfig) -> ClientConfig {
    client.alpn_protocols = vec![H2.to_vec()];
    client.resumption = Resumption::disabled();
    client
}
