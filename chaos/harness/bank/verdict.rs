//! The verdict over a bank: what each instance holds in the end, held against the tellers' books. The judging is pure, so
//! that every way to fail is a scene below.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use interrex_ledger::{HostSpec, Login, Outcome};
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::time::timeout;

use super::books::{Books, Transfer};
use super::{ACCOUNTS, DEPOSIT, TOTAL};

/// What an instance holds.
#[derive(Debug, Clone, Default)]
struct Held {
    /// Account → what is in it.
    accounts: BTreeMap<i64, i64>,
    transfers: BTreeMap<i64, Transfer>,
}

/// Asks every instance, and tells what is wrong, a line each. To be called when the bank is closed and every standby has
/// replayed all. `patience`: for each connect and statement.
///
/// # Errors
/// An instance cannot be asked.
pub(crate) async fn compare(
    books: &Books,
    hosts: &[HostSpec],
    login: &Login,
    patience: Duration,
) -> anyhow::Result<Vec<String>> {
    let mut findings = books.findings.clone();
    for host in hosts {
        let held = read(host, login, patience).await.with_context(|| format!("read the bank of {host}"))?;
        findings.extend(judge(books, &held).into_iter().map(|finding| format!("bank of {host}: {finding}")));
    }
    Ok(findings)
}

async fn read(host: &HostSpec, login: &Login, patience: Duration) -> anyhow::Result<Held> {
    let options = login.options(host, patience).application_name("interrex-bank").disable_statement_logging();
    let mut session: PgConnection = timeout(patience, options.connect()).await??;
    let accounts = sqlx::raw_sql("select id, balance from account").fetch_all(&mut session);
    let accounts = timeout(patience, accounts).await??;
    let transfers = sqlx::raw_sql("select id, source, target, amount from transfer").fetch_all(&mut session);
    let transfers = timeout(patience, transfers).await??;
    let mut held = Held::default();
    for row in accounts {
        held.accounts.insert(row.try_get(0)?, row.try_get(1)?);
    }
    for row in transfers {
        let transfer = Transfer { source: row.try_get(1)?, target: row.try_get(2)?, amount: row.try_get(3)? };
        held.transfers.insert(row.try_get(0)?, transfer);
    }
    Ok(held)
}

fn judge(books: &Books, held: &Held) -> Vec<String> {
    let mut findings = Vec::new();
    let mut find = |what: &str, numbers: Vec<i64>| {
        if let [first, ..] = numbers.as_slice() {
            findings.push(format!("{} {what}, {first} first", numbers.len()));
        }
    };
    let ended = |outcome: Outcome| {
        let all = books.transfers.iter().filter(move |(_, (_, ended))| *ended == outcome);
        all.map(|(id, _)| *id)
    };
    let is_there = |id: &i64| held.transfers.contains_key(id);
    find("confirmed transfers are not there", ended(Outcome::Ok).filter(|id| !is_there(id)).collect());
    find("refused transfers are there", ended(Outcome::Failed).filter(is_there).collect());
    let others = held
        .transfers
        .iter()
        .filter(|(id, transfer)| books.transfers.get(id).is_none_or(|(sent, _)| sent != *transfer));
    find("transfers are there that nobody sent", others.map(|(id, _)| *id).collect());
    let (accounts, sum) = (held.accounts.len(), held.accounts.values().sum::<i64>());
    if sum != TOTAL {
        findings.push(format!("{accounts} accounts hold {sum} together, where {TOTAL} is always in them"));
    }
    for account in 0..ACCOUNTS {
        let moved: i64 = held.transfers.values().map(|transfer| transfer.adds_to(account)).sum();
        let (holds, owed) = (held.accounts.get(&account), DEPOSIT + moved);
        if holds != Some(&owed) {
            findings.push(format!("account {account} holds {holds:?}, and its transfers make {owed}"));
        }
    }
    findings
}

impl Transfer {
    /// What it adds to an account.
    fn adds_to(self, account: i64) -> i64 {
        let Transfer { source, target, amount } = self;
        i64::from(target == account) * amount - i64::from(source == account) * amount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Transfer = Transfer { source: 0, target: 1, amount: 30 };
    const SECOND: Transfer = Transfer { source: 1, target: 2, amount: 50 };

    /// Two transfers were confirmed, one was refused, one is unknown.
    fn books() -> Books {
        let ended = [
            (1, (FIRST, Outcome::Ok)),
            (2, (SECOND, Outcome::Ok)),
            (3, (FIRST, Outcome::Failed)),
            (4, (SECOND, Outcome::Unknown)),
        ];
        Books { transfers: ended.into(), findings: Vec::new() }
    }

    /// What a server holds after these.
    fn held(transfers: &[(i64, Transfer)]) -> Held {
        let moved = |account| transfers.iter().map(|(_, transfer)| transfer.adds_to(account)).sum::<i64>();
        let accounts = (0..ACCOUNTS).map(|account| (account, DEPOSIT + moved(account))).collect();
        Held { accounts, transfers: transfers.iter().copied().collect() }
    }

    #[test]
    fn what_was_confirmed_is_there_and_what_is_unknown_may_be() {
        assert_eq!(judge(&books(), &held(&[(1, FIRST), (2, SECOND)])), [""; 0]);
        assert_eq!(judge(&books(), &held(&[(1, FIRST), (2, SECOND), (4, SECOND)])), [""; 0]);
    }

    #[test]
    fn a_confirmed_transfer_that_is_gone_is_told_though_the_money_is_all_there() {
        assert_eq!(judge(&books(), &held(&[(1, FIRST)])), ["1 confirmed transfers are not there, 2 first"]);
    }

    #[test]
    fn a_refused_one_one_that_nobody_sent_and_one_that_was_altered_are_told() {
        let found = judge(&books(), &held(&[(1, FIRST), (2, SECOND), (3, FIRST)]));
        assert_eq!(found, ["1 refused transfers are there, 3 first"]);
        let found = judge(&books(), &held(&[(1, FIRST), (2, FIRST), (9, SECOND)]));
        assert_eq!(found, ["2 transfers are there that nobody sent, 2 first"]);
    }

    #[test]
    fn half_a_transfer_is_told_by_the_sum_and_by_its_account() {
        let mut half = held(&[(1, FIRST), (2, SECOND)]);
        half.accounts.insert(2, DEPOSIT);
        let told = judge(&books(), &half);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "8 accounts hold 7950 together, where 8000 is always in them");
        assert_eq!(told[1], "account 2 holds Some(1000), and its transfers make 1050");
        half.accounts.remove(&7);
        assert!(judge(&books(), &half).iter().any(|line| line.contains("account 7 holds None")));
    }
}
