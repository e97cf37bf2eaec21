//! Histories of timelines that this copy is not on: of a promotion by hand, of one that was granted and never confirmed,
//! out of a shared archive. A startup process looks for a newer one all the time and takes it for its target; then it
//! goes on along a line that nobody reigns on, stands still because it has replayed past that fork, or names an ancestor
//! at its promotion of which the copy holds nothing (F20, F21; each of them tried). A walreceiver fetches no history
//! whose number has a file, so that a wrong one stays for ever. Hence they go, before a start, a seal's end, an upstream
//! and a promotion.

use super::error::Result;
use super::files::{blocking, remove_file, sync};
use super::history::{HistoryFile, cut_to, histories_in, history_name};
use super::server::Server;
use interrex_cluster::wal::{History, TimelineId};

impl Server {
    /// Removes every history above `own`, the timeline of the copy's newest record, that is not on `line` with the very
    /// contents; gives the numbers. Placeholders stay: they mislead nobody. After it, a server that runs has to be
    /// restarted: it may have taken one of them for its target already.
    ///
    /// # Errors
    /// The directory cannot be read, or a file not be removed.
    pub async fn remove_abandoned(&self, own: TimelineId, line: Option<&History>) -> Result<Vec<TimelineId>> {
        let (wal, line) = (self.layout().pgdata.join("pg_wal"), line.cloned());
        blocking(move || {
            let mut removed = Vec::new();
            for (number, file) in histories_in(&wal)?.into_iter().filter(|(number, _)| *number > own) {
                let on_line = line.as_ref().and_then(|line| cut_to(line, number));
                let stays = match file {
                    HistoryFile::Real(history) => on_line == Some(history),
                    HistoryFile::Placeholder => true,
                    // PostgreSQL would end at it.
                    HistoryFile::Damaged(_) => false,
                };
                if !stays {
                    remove_file(&wal.join(history_name(number)))?;
                    removed.push(number);
                }
            }
            if !removed.is_empty() {
                sync(&wal)?;
            }
            Ok(removed)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{House, LONG, Node, bare_layout, server};
    use super::super::{Role, Settings, SyncText};
    use super::*;
    use std::fs;

    fn history(timeline: u32, text: &str) -> History {
        History::parse(TimelineId(timeline), text).unwrap()
    }

    fn any(names: &[&str]) -> SyncText {
        SyncText { k: 1, names: names.iter().map(|&name| name.to_owned()).collect() }
    }

    #[tokio::test]
    async fn what_is_above_the_copy_and_not_on_the_line_goes() {
        let (_dir, layout) = bare_layout();
        let server = server(layout.clone());
        let wal = layout.pgdata.join("pg_wal");
        let line = history(9, "1\t0/300\tx\n4\t0/500\tx\n7\t0/900\tx\n");
        for (number, text) in [
            (3, "1\t0/200\tx\n"),
            (5, "4\t0/400\tx\n"),
            (6, "# interrex: never promoted on this line; the number is taken\n"),
            (7, "1\t0/300\tx\n4\t0/500\tx\n"),
            (8, "torn"),
            (9, "1\t0/300\tx\n4\t0/500\tx\n7\t0/800\tx\n"),
        ] {
            fs::write(wal.join(history_name(TimelineId(number))), text).unwrap();
        }
        let removed = server.remove_abandoned(TimelineId(4), Some(&line)).await.unwrap();
        assert_eq!(removed.iter().map(|timeline| timeline.0).collect::<Vec<_>>(), [5, 8, 9]);
        let left = server.histories().await.unwrap();
        assert_eq!(left.keys().map(|timeline| timeline.0).collect::<Vec<_>>(), [3, 6, 7]);
        let removed = server.remove_abandoned(TimelineId(4), None).await.unwrap();
        assert_eq!(removed, [TimelineId(7)], "nobody says that it is on the line");
    }

    /// A real history that branches off timeline 2 far beyond everything, or at its very beginning.
    async fn rogue(node: &Node, number: u32, far: bool) {
        let begin = node.promotion_or_line().await;
        let fork = if far { "F/0".to_owned() } else { begin.ancestors[0].end.to_string() };
        let text = format!("{}2\t{fork}\tby hand\n", begin.render());
        node.write_history(&history(number, &text)).await.unwrap();
    }

    impl Node {
        async fn promotion_or_line(&self) -> History {
            match self.histories().await.unwrap().remove(&TimelineId(2)) {
                Some(HistoryFile::Real(history)) => history,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_rogue_history_leads_neither_a_promotion_nor_a_standby_astray() {
        let house = House::new();
        let mut a = house.primary("a").await;
        let mut b = house.standby("b", &a).await;
        let mut c = house.standby("c", &a).await;
        a.locally(&["create table t (i int)"]).await;
        // In good order, so that both have the same: a standby with a record more than b could not follow it.
        a.stop();
        let sealed = [b.seal(None, None, LONG).await.unwrap(), c.seal(None, None, LONG).await.unwrap()];
        assert_eq!(sealed[0], sealed[1]);
        // Two promotions by hand: one branched off where b has not come yet (b would name it as its parent, at a place
        // before its fork), one took the number that b is to open (c would find itself past its fork, for ever).
        rogue(&b, 3, true).await;
        rogue(&c, 7, false).await;
        for node in [&mut b, &mut c] {
            assert_eq!(node.remove_abandoned(TimelineId(2), None).await.unwrap().len(), 1);
            node.stop();
            node.write_settings(&Settings { role: Role::Sealed }).await.unwrap();
            node.start().await;
        }
        for number in 3..7 {
            b.write_placeholder(TimelineId(number)).await.unwrap();
        }
        b.ensure_slots(&["ix_c".to_owned()]).await.unwrap();
        c.follow(b.as_upstream("c")).await;
        b.promoted(7, any(&["ix_c_2_1"])).await;
        let promotion = b.promotion().await.unwrap();
        assert_eq!(promotion.parent, TimelineId(2));
        c.until("select received_tli::text from pg_stat_wal_receiver", "7").await;
        let end = b.value("select pg_current_wal_flush_lsn()::text").await;
        c.until(&format!("select (pg_last_wal_replay_lsn() >= '{end}')::text"), "true").await;
    }
}
