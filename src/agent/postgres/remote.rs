//! Instances, as others see them: a knock at the port, and the few questions that need a login.

use super::error::{Error, Result};
use super::server::Server;
use interrex_cluster::ids::SystemId;
use interrex_cluster::record::Address;
use interrex_cluster::wal::{Lsn, Position, TimelineId};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// A TCP connection and an answer to SSLRequest: somebody is there and schedules processes. A stopped or hung
/// postmaster accepts connections too (the kernel does) and never answers.
pub async fn knock(address: &Address, deadline: Duration) -> bool {
    answers(TcpStream::connect((address.host.as_str(), address.port)), deadline).await
}

async fn answers<S: AsyncRead + AsyncWrite + Unpin>(
    connecting: impl Future<Output = io::Result<S>>,
    deadline: Duration,
) -> bool {
    let answer = async {
        let mut stream = connecting.await?;
        // Length 8, then the request code 80877103.
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
        stream.read_u8().await
    };
    // 'E': the postmaster is there and cannot start another process.
    matches!(tokio::time::timeout(deadline, answer).await, Ok(Ok(b'S' | b'N' | b'E')))
}

impl Server {
    /// A [`knock`] at its own Unix socket, where nothing but the server itself can keep the answer back.
    pub async fn answers_knock(&self, deadline: Duration) -> bool {
        let layout = self.layout();
        let socket = layout.socket_dir.join(format!(".s.PGSQL.{}", layout.listen.port));
        answers(UnixStream::connect(socket), deadline).await
    }

    /// A checkpoint at another instance. Needed before a rewind from majors up to 15 (F26): until then its control
    /// file names the timeline before its promotion.
    ///
    /// # Errors
    /// It does not answer in time, or refuses.
    pub async fn remote_checkpoint(&self, address: &Address, deadline: Duration) -> Result<()> {
        let mut session = self.connect_remote(address, deadline).await?;
        session.run("CHECKPOINT", deadline).await?;
        session.close().await;
        Ok(())
    }

    /// System identifier and current end of WAL of another instance, which must be a primary.
    ///
    /// # Errors
    /// `Refused` when it is in recovery.
    pub async fn remote_position(
        &self,
        address: &Address,
        deadline: Duration,
    ) -> Result<(SystemId, Position)> {
        let mut session = self.connect_remote(address, deadline).await?;
        let rows = session.rows(POSITION, deadline).await?;
        session.close().await;
        let unclear = || Error::Unknown(format!("the position of {address}"));
        let row = rows.first().ok_or_else(unclear)?;
        let field = |i: usize| row.get(i).and_then(Option::as_deref);
        let system = field(0).and_then(|text| text.parse().ok()).map(SystemId).ok_or_else(unclear)?;
        let (Some(file), Some(lsn)) = (field(1), field(2)) else {
            return Err(Error::Refused(format!(
                "{address} is in recovery, so it has no position of its own"
            )));
        };
        let lsn: Lsn = lsn.parse().map_err(|_| unclear())?;
        Ok((system, Position { timeline: timeline_of(file)?, lsn }))
    }
}

const POSITION: &str = "select (pg_control_system()).system_identifier::text,
    case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_insert_lsn()) end,
    case when not pg_is_in_recovery() then pg_current_wal_flush_lsn()::text end";

/// The timeline in the name of a WAL file.
pub(super) fn timeline_of(file: &str) -> Result<TimelineId> {
    file.get(..8)
        .and_then(|number| u32::from_str_radix(number, 16).ok())
        .map(TimelineId)
        .ok_or_else(|| Error::Unknown(format!("the timeline of WAL file '{file}'")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn address(listener: &TcpListener) -> Address {
        Address { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() }
    }

    #[tokio::test]
    async fn only_an_answer_counts_as_somebody_at_home() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = address(&listener);
        assert!(!knock(&at, Duration::from_millis(50)).await, "accepted by the kernel alone");
        let answering = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 8];
                // The first caller has hung up already.
                if stream.read_exact(&mut request).await.is_ok() && stream.write_all(b"N").await.is_ok() {
                    assert_eq!(request, [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F]);
                }
            }
        });
        assert!(knock(&at, Duration::from_secs(5)).await);
        answering.abort();
        let _cancelled = answering.await;
        assert!(!knock(&at, Duration::from_secs(5)).await, "refused");
    }
}
