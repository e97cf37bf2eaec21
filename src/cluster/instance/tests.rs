//! Scenes of [`super::next_step`]: a base case, one change, the exact step.

use super::lease::{Lease, Margin};
use super::next_step::{Step, Stop, next_step};
use super::observed::{
    Data, EarlyEnds, End, Memory, Observed, Primary, Receiver, Sentinel, Server, Standby, SyncShown,
    Upstream, UpstreamSetting,
};
use crate::goal::{Goal, PrimaryGoal, StandbyGoal, SyncSetting};
use crate::ids::{Epoch, Incarnation, Revision, RuleNumber, Stamp, SystemId};
use crate::record::Address;
use crate::report::{Promotion, Proofs, Rebuild, Seal};
use crate::time::Instant;
use crate::wal::{Ancestor, History, Lsn, Position, TimelineId};
use std::collections::BTreeMap;
use std::time::Duration;

const SYSTEM: SystemId = SystemId(77);
const NOW: Instant = Instant(100_000);
const E8: Epoch = Epoch(8);

fn at(timeline: u32, lsn: u64) -> Position {
    Position { timeline: TimelineId(timeline), lsn: Lsn(lsn) }
}

fn history(timeline: u32, ancestors: &[(u32, u64)]) -> History {
    let ancestors =
        ancestors.iter().map(|(t, end)| Ancestor { timeline: TimelineId(*t), end: Lsn(*end) }).collect();
    History { timeline: TimelineId(timeline), ancestors }
}

/// Timeline 7 is the present one; epoch 8 forks off it at 1000.
fn line_of_7() -> History {
    history(7, &[(1, 300)])
}

fn line_of_8() -> History {
    history(8, &[(1, 300), (7, 1_000)])
}

fn n1() -> Address {
    Address { host: "10.0.0.1".to_owned(), port: 5432 }
}

fn follows_n1() -> Upstream {
    Upstream::Of(UpstreamSetting { address: n1(), name: "ix_n2_8_1".to_owned(), slot: "ix_n2".to_owned() })
}

fn standby_goal() -> StandbyGoal {
    StandbyGoal {
        epoch: E8,
        upstream: "n1".parse().unwrap(),
        address: n1(),
        name: "ix_n2_8_1".to_owned(),
        slot: "ix_n2".to_owned(),
        line: Some(line_of_8()),
        system: SYSTEM,
        rebuild: None,
        incarnation: Incarnation(1),
        restart: None,
        parameters: Default::default(),
        discard_old: false,
    }
}

fn primary_goal(confirmed: bool) -> PrimaryGoal {
    PrimaryGoal {
        epoch: E8,
        sync: SyncSetting {
            rule: RuleNumber(5),
            k: 1,
            names: vec!["ix_n3_8_1".to_owned(), "ix_n1_8_1".to_owned()],
            instances: vec!["n3".parse().unwrap(), "n1".parse().unwrap()],
        },
        confirmed,
        line: Some(line_of_7()),
        slots: vec!["ix_n1".to_owned(), "ix_n3".to_owned()],
        standbys: Vec::new(),
        judge: None,
        parameters: Default::default(),
        checkpoint: None,
    }
}

const SEALED: Goal = Goal::Sealed { epoch: E8, line: None, ended: None };
const STOPPED: Goal = Goal::Stopped { epoch: E8, line: None };

fn any_1() -> SyncShown {
    SyncShown::Any { k: 1, names: vec!["ix_n1_8_1".to_owned(), "ix_n3_8_1".to_owned()] }
}

/// A standby on timeline 7 at 900 that receives from nobody.
fn sealed_standby() -> Standby {
    Standby {
        upstream: Upstream::Nobody,
        receiver: None,
        replayed: at(7, 900),
        history: Some(line_of_7()),
        sync: SyncShown::Any { k: 1, names: vec!["nobody_1".to_owned()] },
        clients_in: false,
        slots: ["ix_n1".to_owned(), "ix_n3".to_owned()].into(),
        histories_complete: true,
    }
}

fn streaming_standby() -> Standby {
    let receiver = Receiver { streaming: true, timeline: TimelineId(8), flushed: Lsn(950) };
    Standby { upstream: follows_n1(), receiver: Some(receiver), ..sealed_standby() }
}

fn primary_of_8() -> Primary {
    Primary {
        timeline: TimelineId(8),
        signal_back: true,
        sync: any_1(),
        clients_in: true,
        slots: ["ix_n1".to_owned(), "ix_n3".to_owned()].into(),
        roles_ready: true,
        beaten: true,
    }
}

/// A whole copy, incarnation 1, with a lease for epoch 8 and nothing proved.
fn seen(server: Server) -> Observed {
    let mut lease = Lease::none(E8);
    lease.grant(E8, Instant(NOW.0 - 200), Duration::from_secs(3), Margin(5));
    Observed {
        parameters: Some(Default::default()),
        memory: Memory {
            obeyed: Stamp { epoch: E8, revision: Revision(40) },
            incarnation: Incarnation(1),
            ..Memory::default()
        },
        data: Data::Ours(SYSTEM),
        server,
        end: None,
        proofs: Proofs::default(),
        lease,
        deadline: None,
        async_since: None,
        wal_gone: None,
        early_ends: None,
        patience: None,
        told_upstream: Upstream::Nobody,
        found: None,
        unseen: None,
        too_low: false,
    }
}

/// The primary of epoch 8, open and proved.
fn reigning() -> Observed {
    let mut seen = seen(Server::Primary(primary_of_8()));
    seen.deadline = Some(Instant(NOW.0 + 2_650));
    seen.proofs.promoted = Some(Promotion { epoch: E8, parent: TimelineId(7), begin: Lsn(900) });
    seen.proofs.rule = Some((E8, RuleNumber(5)));
    seen.memory.promoted = Some(E8);
    seen
}

fn with_end(position: Position, history: History) -> Observed {
    Observed { end: Some(End { position, history }), ..seen(Server::Gone) }
}

fn step(goal: &Goal, seen: &Observed) -> Step {
    next_step(goal, seen, NOW)
}

fn to_primary(confirmed: bool, seen: &Observed) -> Step {
    step(&Goal::Primary(primary_goal(confirmed)), seen)
}

fn to_standby(seen: &Observed) -> Step {
    step(&Goal::Standby(standby_goal()), seen)
}

#[track_caller]
fn assert_stops(step: &Step, expected: Stop, word: &str) {
    match step {
        Step::Stop { how, why } if *how == expected && why.contains(word) => {}
        other => panic!("expected {expected:?} because of '{word}', got {other:?}"),
    }
}

#[track_caller]
fn assert_waits(step: &Step, word: &str) {
    assert!(
        matches!(step, Step::Wait { why } if why.contains(word)),
        "expected a wait for '{word}', got {step:?}"
    );
}

mod primary {
    use super::*;

    #[test]
    fn a_sealed_standby_with_everything_in_place_is_promoted() {
        let standby = Standby { sync: any_1(), ..sealed_standby() };
        assert_eq!(to_primary(false, &seen(Server::Standby(standby))), Step::Promote);
    }

    #[test]
    fn everything_is_in_place_before_it_is_promoted() {
        let ready = || Standby { sync: any_1(), ..sealed_standby() };
        let step = |standby| to_primary(false, &seen(Server::Standby(standby)));
        assert_eq!(step(streaming_standby()), Step::Seal { epoch: None });
        assert_eq!(step(Standby { upstream: Upstream::Other, ..ready() }), Step::Seal { epoch: None });
        assert_eq!(step(Standby { slots: [].into(), ..ready() }), Step::Prepare);
        assert_eq!(step(Standby { histories_complete: false, ..ready() }), Step::Prepare);
        assert_eq!(step(Standby { clients_in: true, ..ready() }), Step::Prepare);
        assert_eq!(step(sealed_standby()), Step::Prepare, "the rule is not shown");
    }

    #[test]
    fn a_rule_of_nobody_is_not_even_prepared_without_a_grant_asked_for_after_it_was_decided() {
        let mut goal = primary_goal(false);
        goal.sync.k = 0;
        let mut seen = seen(Server::Standby(sealed_standby()));
        seen.async_since = Some(NOW);
        assert_waits(&step(&Goal::Primary(goal.clone()), &seen), "a lease granted after");
        seen.async_since = Some(Instant(NOW.0 - 201));
        assert_eq!(step(&Goal::Primary(goal), &seen), Step::Prepare);
    }

    #[test]
    fn it_is_not_promoted_without_a_lease_of_its_epoch() {
        let standby = Standby { sync: any_1(), ..sealed_standby() };
        let without = Observed { lease: Lease::none(E8), ..seen(Server::Standby(standby)) };
        assert_waits(&to_primary(false, &without), "a lease for epoch 8");
    }

    #[test]
    fn a_promotion_that_was_asked_for_is_seen_through() {
        let mut seen = seen(Server::Standby(streaming_standby()));
        seen.memory.promoted = Some(E8);
        assert_eq!(to_primary(false, &seen), Step::Promote);
    }

    #[test]
    fn one_that_was_elected_and_answers_nobody_is_asked_again_or_started_anew() {
        let silent = |since, promoted| {
            let mut seen = seen(Server::Silent { since: Duration::from_secs(since) });
            seen.memory.promoted = promoted;
            seen
        };
        // Started to be promoted at once, by an agent that is gone.
        assert_eq!(to_primary(false, &silent(1, Some(E8))), Step::Promote);
        assert_waits(&to_primary(false, &silent(14, None)), "not answered");
        assert_stops(&to_primary(false, &silent(15, None)), Stop::Fast, "does not answer");
        // One that serves and hangs is for the coordinators.
        let mut serves = silent(60, Some(E8));
        serves.proofs.promoted = Some(Promotion { epoch: E8, parent: TimelineId(7), begin: Lsn(100) });
        assert_waits(&to_primary(true, &serves), "not answered");
        assert_waits(&to_primary(false, &silent(60, Some(Epoch(7)))), "not answered");
    }

    #[test]
    fn a_promotion_of_an_older_epoch_in_flight_is_ended_first() {
        let mut seen = seen(Server::Standby(sealed_standby()));
        seen.memory.promoted = Some(Epoch(7));
        assert_stops(&to_primary(false, &seen), Stop::Fast, "told to promote in epoch 7");
    }

    #[test]
    fn running_as_someone_else_s_primary_it_is_stopped() {
        let mut seen = reigning();
        seen.server = Server::Primary(Primary { timeline: TimelineId(7), ..primary_of_8() });
        assert_stops(&to_primary(true, &seen), Stop::Fast, "on timeline 7");
    }

    #[test]
    fn a_stopped_winner_is_started_as_a_standby_to_be_promoted() {
        assert_eq!(
            to_primary(false, &with_end(at(7, 900), line_of_7())),
            Step::StartAsStandby { follow: false }
        );
        assert_eq!(to_primary(false, &seen(Server::Gone)), Step::ScanEnd { epoch: None, stopped: true });
    }

    #[test]
    fn a_stopped_winner_whose_wal_does_not_tell_its_end_is_not_read_over_and_over() {
        let mut seen = seen(Server::Gone);
        seen.wal_gone = Some("the latest checkpoint is missing".to_owned());
        let Step::Refuse { why } = to_primary(false, &seen) else { panic!("not refused") };
        assert!(why.contains("latest checkpoint is missing"), "{why}");
    }

    #[test]
    fn nobody_is_promoted_twice_in_one_epoch() {
        let ended = with_end(at(8, 2_000), history(8, &[(1, 300), (7, 900)]));
        assert_waits(&to_primary(true, &ended), "a new epoch");
        let mut halfway = with_end(at(7, 900), line_of_7());
        halfway.memory.promoted = Some(E8);
        assert_waits(&to_primary(false, &halfway), "a new epoch");
    }

    #[test]
    fn a_winner_that_ended_while_nobody_watched_says_that_it_is_not_promoted_in_this_epoch() {
        let mut gone = with_end(at(7, 900), line_of_7());
        let goal = Goal::Primary(primary_goal(false));
        assert_eq!(gone.ended_in(&goal), None, "it was never told to");
        gone.memory.promoted = Some(E8);
        assert_eq!(gone.ended_in(&goal).as_deref(), Some("it ended after it was told to promote in epoch 8"));
        assert_eq!(gone.ended_in(&SEALED), None, "an election asks for its end of WAL alone");
        gone.memory.promoted = Some(Epoch(7));
        assert_eq!(gone.ended_in(&goal), None, "an older epoch's mark goes when it is started");
    }

    #[test]
    fn with_the_sentinel_it_is_never_started() {
        for data in [Data::Missing, Data::Unfinished(Sentinel::Rebuild(Rebuild::Rewind))] {
            let seen = Observed { data, ..with_end(at(7, 900), line_of_7()) };
            assert!(matches!(to_primary(false, &seen), Step::Refuse { .. }));
        }
    }

    #[test]
    fn an_open_and_proved_primary_has_nothing_to_do() {
        assert_eq!(to_primary(true, &reigning()), Step::Nothing);
    }

    #[test]
    fn what_is_missing_is_done_in_order() {
        let with = |change: fn(&mut Observed, &mut Primary)| {
            let (mut seen, mut primary) = (reigning(), primary_of_8());
            change(&mut seen, &mut primary);
            seen.server = Server::Primary(primary);
            seen
        };
        let open = |change| to_primary(true, &with(change));
        assert_eq!(open(|_, primary| primary.signal_back = false), Step::FinishPromotion);
        assert_eq!(open(|seen, _| seen.proofs.promoted = None), Step::FinishPromotion);
        assert_eq!(open(|_, primary| primary.roles_ready = false), Step::ServeStandbys);
        assert_eq!(open(|_, primary| primary.slots.clear()), Step::ServeStandbys);
        assert_eq!(open(|_, primary| primary.sync = SyncShown::Other), Step::ConfigureSync);
        assert_eq!(open(|_, primary| primary.sync = SyncShown::Async), Step::ConfigureSync);
        assert_eq!(open(|_, primary| primary.clients_in = false), Step::OpenClients);
        assert_eq!(open(|seen, _| seen.proofs.rule = Some((E8, RuleNumber(4)))), Step::ProveRule);
    }

    #[test]
    fn a_primary_says_whether_it_takes_parameters_although_its_rule_cannot_be_proved() {
        let number = Revision(41);
        let goal = PrimaryGoal { judge: Some((number, Default::default())), ..primary_goal(true) };
        let mut seen = reigning();
        seen.proofs.rule = None;
        let step = |seen: &Observed| step(&Goal::Primary(goal.clone()), seen);
        assert_eq!(step(&seen), Step::Judge { number });
        seen.proofs.judged = Some((number, None));
        assert_eq!(step(&seen), Step::ProveRule);
    }

    #[test]
    fn parameters_are_set_and_a_switchover_goes_on_although_the_rule_cannot_be_proved() {
        let parameters: BTreeMap<String, String> = [("work_mem".to_owned(), "64MB".to_owned())].into();
        let mut goal = PrimaryGoal { parameters: parameters.clone(), ..primary_goal(true) };
        let mut seen = reigning();
        seen.proofs.rule = None;
        let next = |goal: &PrimaryGoal, seen: &Observed| step(&Goal::Primary(goal.clone()), seen);
        assert_eq!(next(&goal, &seen), Step::SetParameters, "whoever could acknowledge may be dead for good");
        seen.parameters = Some(parameters);
        assert_eq!(next(&goal, &seen), Step::ProveRule);

        // Two have to acknowledge and one is left: that cannot be proved, and it may be handed over to.
        let number = Revision(41);
        goal.checkpoint = Some(number);
        assert_eq!(next(&goal, &seen), Step::ProveRule, "a proof that can come comes first: it is short");
        (goal.sync.k, goal.sync.names) = (2, vec!["ix_n3_8_1".to_owned()]);
        let sync = SyncShown::Any { k: 2, names: goal.sync.names.clone() };
        seen.server = Server::Primary(Primary { sync, ..primary_of_8() });
        assert_eq!(next(&goal, &seen), Step::Checkpoint { number });
        seen.proofs.checkpoint = Some(number);
        assert_eq!(next(&goal, &seen), Step::Nothing);
    }

    #[test]
    fn clients_wait_for_the_record_and_for_the_first_synchronous_commit() {
        let shut = |beaten| {
            let mut seen = reigning();
            seen.server = Server::Primary(Primary { clients_in: false, beaten, ..primary_of_8() });
            seen
        };
        assert_waits(&to_primary(false, &shut(true)), "the record");
        assert_waits(&to_primary(true, &shut(false)), "first synchronous commit");
        // Nor do they reach it: what was taken back may be why.
        let parameters = Some([("session_preload_libraries".to_owned(), "no_such".to_owned())].into());
        assert_eq!(to_primary(true, &Observed { parameters, ..shut(false) }), Step::SetParameters);
        assert_eq!(to_primary(true, &shut(true)), Step::OpenClients);
        assert_eq!(to_primary(false, &reigning()), Step::ShutClients);
    }

    #[test]
    fn k_of_nobody_is_shown_by_names_that_nobody_bears() {
        let mut goal = primary_goal(true);
        goal.sync.names.clear();
        let mut seen = reigning();
        let nobody = SyncShown::Any { k: 1, names: vec!["nobody_5".to_owned()] };
        seen.server = Server::Primary(Primary { sync: nobody, ..primary_of_8() });
        assert_eq!(step(&Goal::Primary(goal.clone()), &seen), Step::Nothing);
        seen.server = Server::Primary(Primary { sync: SyncShown::Async, ..primary_of_8() });
        assert_eq!(step(&Goal::Primary(goal), &seen), Step::ConfigureSync);
    }

    #[test]
    fn asynchronous_commits_wait_for_a_grant_asked_for_after_they_were_decided() {
        let mut goal = primary_goal(true);
        goal.sync.k = 0;
        goal.sync.names.clear();
        let goal = Goal::Primary(goal);
        let sent = NOW.0 - 200;
        let learned = |at| Observed { async_since: Some(Instant(at)), ..reigning() };
        assert_waits(&step(&goal, &learned(sent)), "a lease granted after");
        assert_waits(&step(&goal, &learned(sent + 1)), "a lease granted after");
        assert_eq!(step(&goal, &learned(sent - 1)), Step::ConfigureSync);
    }

    #[test]
    fn a_lease_that_ends_stops_it_in_good_order_and_one_that_is_over_kills_it() {
        let until = |at| Observed { deadline: Some(Instant(at)), ..reigning() };
        assert_eq!(to_primary(true, &until(NOW.0 + 401)), Step::Nothing);
        assert_stops(&to_primary(true, &until(NOW.0 + 400)), Stop::Fast, "lease ends");
        assert_stops(&to_primary(true, &until(NOW.0)), Stop::Fence, "lease is over");
        assert_stops(
            &to_primary(true, &Observed { deadline: None, ..reigning() }),
            Stop::Fence,
            "without a lease",
        );
    }
}

mod sealed {
    use super::*;

    fn proved(stopped: bool) -> Option<Seal> {
        Some(Seal { epoch: E8, position: at(7, 900), stopped, fork: None })
    }

    #[test]
    fn a_streaming_standby_is_sealed_and_then_left_alone() {
        assert_eq!(
            step(&SEALED, &seen(Server::Standby(streaming_standby()))),
            Step::Seal { epoch: Some(E8) }
        );
        let mut seen = seen(Server::Standby(sealed_standby()));
        assert_eq!(step(&SEALED, &seen), Step::Seal { epoch: Some(E8) }, "the position is not proved yet");
        seen.proofs.sealed = proved(false);
        assert_eq!(step(&SEALED, &seen), Step::Nothing);
    }

    #[test]
    fn a_sealed_standby_that_could_not_be_promoted_is_started_with_what_replay_demands() {
        let mut seen = Observed { too_low: true, ..seen(Server::Standby(sealed_standby())) };
        assert_eq!(step(&SEALED, &seen), Step::Seal { epoch: Some(E8) }, "sealed first");
        seen.proofs.sealed = proved(false);
        assert_stops(&step(&SEALED, &seen), Stop::Fast, "less than replay demands");
    }

    #[test]
    fn a_seal_of_an_older_epoch_proves_nothing() {
        let mut seen = seen(Server::Standby(sealed_standby()));
        seen.proofs.sealed = proved(false).map(|seal| Seal { epoch: Epoch(7), ..seal });
        assert_eq!(step(&SEALED, &seen), Step::Seal { epoch: Some(E8) });
    }

    #[test]
    fn whoever_was_told_to_promote_is_ended_first() {
        for server in [Server::Standby(sealed_standby()), Server::Starting, Server::Primary(primary_of_8())] {
            let mut seen = seen(server);
            seen.memory.promoted = Some(Epoch(7));
            seen.proofs.sealed = proved(false);
            assert_stops(&step(&SEALED, &seen), Stop::Fence, "told to promote");
        }
    }

    #[test]
    fn a_stopped_server_is_sealed_where_it_lies_and_then_made_ready() {
        let mut seen = seen(Server::Gone);
        let scan = Step::ScanEnd { epoch: Some(E8), stopped: true };
        assert_eq!(step(&SEALED, &seen), scan);
        seen.proofs.sealed = proved(false);
        assert_eq!(step(&SEALED, &seen), scan, "a seal of the running server does not hold its end");
        seen.proofs.sealed = proved(true);
        assert_eq!(step(&SEALED, &seen), Step::StartAsStandby { follow: false });
    }

    #[test]
    fn a_server_that_does_not_answer_is_sealed_by_its_end() {
        let silent = |ms| seen(Server::Silent { since: Duration::from_millis(ms) });
        assert_waits(&step(&SEALED, &silent(1_499)), "answer");
        assert_stops(&step(&SEALED, &silent(1_500)), Stop::Fence, "1500 ms");
    }

    #[test]
    fn the_sentinel_keeps_it_from_being_sealed_and_from_running() {
        let unfinished = Data::Unfinished(Sentinel::Rebuild(Rebuild::Clone));
        let gone = Observed { data: unfinished.clone(), ..seen(Server::Gone) };
        assert_waits(&step(&SEALED, &gone), "a primary");
        let runs = Observed { data: unfinished, ..seen(Server::Standby(sealed_standby())) };
        assert_stops(&step(&SEALED, &runs), Stop::Fence, "counts for nothing");
    }

    #[test]
    fn the_old_primary_is_stopped_and_then_tells_its_end() {
        assert_stops(&step(&STOPPED, &reigning()), Stop::Fast, "epoch 8 began without it");
        let mut seen = seen(Server::Gone);
        assert_eq!(step(&STOPPED, &seen), Step::ScanEnd { epoch: Some(E8), stopped: true });
        seen.proofs.sealed = proved(true);
        assert_eq!(step(&STOPPED, &seen), Step::Nothing);
    }
}

mod standby {
    use super::*;

    #[test]
    fn a_standby_that_streams_from_the_upstream_has_nothing_to_do() {
        assert_eq!(to_standby(&seen(Server::Standby(streaming_standby()))), Step::Nothing);
    }

    #[test]
    fn a_sealed_standby_on_the_line_follows() {
        assert_eq!(to_standby(&seen(Server::Standby(sealed_standby()))), Step::Follow);
    }

    #[test]
    fn received_but_not_replayed_past_the_fork_follows() {
        let receiver = Receiver { streaming: false, timeline: TimelineId(7), flushed: Lsn(1_100) };
        let standby = Standby { receiver: Some(receiver), replayed: at(7, 1_000), ..sealed_standby() };
        assert_eq!(to_standby(&seen(Server::Standby(standby))), Step::Follow);
    }

    #[test]
    fn replayed_past_the_fork_asks_for_a_rewind() {
        let standby = Standby { replayed: at(7, 1_048), ..sealed_standby() };
        let asked = Step::ask(
            Rebuild::Rewind,
            Incarnation(1),
            "it holds 48 bytes past the fork at 0/3E8 on timeline 7",
        );
        assert_eq!(to_standby(&seen(Server::Standby(standby.clone()))), asked);
        let pointed = Standby { upstream: follows_n1(), ..standby };
        assert_eq!(
            to_standby(&seen(Server::Standby(pointed))),
            Step::Seal { epoch: None },
            "kept away from n1 first"
        );
    }

    #[test]
    fn stopped_past_the_fork_asks_for_a_rewind() {
        let Step::AskForRebuild(need) = to_standby(&with_end(at(7, 1_048), line_of_7())) else {
            panic!("no need")
        };
        assert_eq!((need.rebuild, need.incarnation), (Rebuild::Rewind, Incarnation(1)));
    }

    #[test]
    fn stopped_at_the_fork_starts_and_follows() {
        assert_eq!(to_standby(&with_end(at(7, 1_000), line_of_7())), Step::StartAsStandby { follow: true });
        assert_eq!(to_standby(&seen(Server::Gone)), Step::ScanEnd { epoch: None, stopped: true });
    }

    #[test]
    fn a_copy_that_was_rolled_back_is_ended_never_sealed_and_given_up() {
        let why = "the copy ends at 0/320 and told 0/384 before".to_owned();
        let doubtful =
            |server| Observed { data: Data::Doubtful { system: SYSTEM, why: why.clone() }, ..seen(server) };
        assert_eq!(
            to_standby(&doubtful(Server::Gone)),
            Step::ask(Rebuild::Clone, Incarnation(1), why.clone())
        );
        assert_stops(&to_standby(&doubtful(Server::Standby(streaming_standby()))), Stop::Fence, "told 0/384");
        assert_stops(&step(&SEALED, &doubtful(Server::Standby(sealed_standby()))), Stop::Fence, "nothing");
        assert_eq!(step(&SEALED, &doubtful(Server::Gone)), Step::Refuse { why: why.clone() });
        let stopped = Goal::Stopped { epoch: Epoch(8), line: None };
        assert_eq!(step(&stopped, &doubtful(Server::Gone)), Step::Refuse { why: why.clone() });
    }

    #[test]
    fn who_streams_from_another_upstream_is_kept_away_from_it_before_it_is_pointed_at_the_winner() {
        let of_n3 = UpstreamSetting { name: "ix_n2_7_1".to_owned(), address: n1(), slot: "ix_n2".to_owned() };
        let streaming = Standby { upstream: Upstream::Of(of_n3), history: None, ..streaming_standby() };
        let seal = Step::Seal { epoch: None };
        assert_eq!(to_standby(&seen(Server::Standby(streaming.clone()))), seal);
        let goal = Goal::Standby(StandbyGoal { line: None, ..standby_goal() });
        assert_eq!(step(&goal, &seen(Server::Standby(streaming.clone()))), seal, "sealed, says the record");
        let forgotten = Standby { upstream: Upstream::Other, ..streaming.clone() };
        assert_eq!(to_standby(&seen(Server::Standby(forgotten))), seal, "its agent was restarted");
        let known = Standby { history: Some(line_of_7()), ..streaming };
        assert_eq!(to_standby(&seen(Server::Standby(known))), Step::Follow, "on the line");
    }

    #[test]
    fn before_the_fork_is_known_whoever_the_record_names_follows_at_once() {
        let goal = Goal::Standby(StandbyGoal { line: None, ..standby_goal() });
        assert_eq!(step(&goal, &seen(Server::Standby(sealed_standby()))), Step::Follow);
        assert_eq!(step(&goal, &seen(Server::Gone)), Step::StartAsStandby { follow: true });
    }

    #[test]
    fn a_new_copy_that_waits_for_the_rest_of_itself_from_a_lost_primary_is_stopped_and_judged_anew() {
        let mut starting = seen(Server::Starting);
        starting.memory.rebuilt = Some(Incarnation(1));
        assert_stops(&to_standby(&starting), Stop::Fast, "before n1 was the primary");
        starting.told_upstream = follows_n1();
        assert_waits(&to_standby(&starting), "starting");
        starting.told_upstream = Upstream::Other;
        starting.memory.told = Some(at(7, 900));
        assert_waits(&to_standby(&starting), "starting");
    }

    #[test]
    fn the_old_primary_stops_before_it_follows() {
        let mut still_primary = reigning();
        still_primary.memory.promoted = Some(Epoch(7));
        assert_stops(&to_standby(&still_primary), Stop::Fast, "n1 is the primary of epoch 8");
        let mut in_flight = seen(Server::Standby(sealed_standby()));
        in_flight.memory.promoted = Some(Epoch(7));
        assert_stops(&to_standby(&in_flight), Stop::Fast, "told to promote");
    }

    #[test]
    fn another_cluster_s_data_is_refused_and_not_touched() {
        let stranger = Observed { data: Data::Ours(SystemId(78)), ..seen(Server::Gone) };
        assert!(
            matches!(to_standby(&stranger), Step::Refuse { why } if why.contains("system identifier 78"))
        );
    }

    /// One that nobody gets in with keeps it from streaming, and is taken back while it does not.
    #[test]
    fn parameters_reach_a_standby_that_does_not_stream() {
        let preload = ("session_preload_libraries".to_owned(), "no_such".to_owned());
        for receiver in [None, streaming_standby().receiver.map(|r| Receiver { streaming: false, ..r })] {
            let mut seen = seen(Server::Standby(Standby { receiver, ..streaming_standby() }));
            seen.parameters = Some([preload.clone()].into());
            assert_eq!(to_standby(&seen), Step::SetParameters);
            seen.parameters = Some(Default::default());
            assert_waits(&to_standby(&seen), "to stream from n1");
        }
    }

    #[test]
    fn wal_that_is_gone_from_the_upstream_asks_for_a_clone() {
        let waiting = Standby { receiver: None, ..streaming_standby() };
        let mut seen = seen(Server::Standby(waiting));
        assert_waits(&to_standby(&seen), "to stream from n1");
        seen.wal_gone =
            Some("requested WAL segment 000000080000000000000003 has already been removed".to_owned());
        let Step::AskForRebuild(need) = to_standby(&seen) else { panic!("no need") };
        assert_eq!(need.rebuild, Rebuild::Clone);
    }

    #[test]
    fn a_new_copy_whose_rest_is_gone_from_the_upstream_asks_for_a_clone_though_it_never_answered() {
        let mut starting = seen(Server::Starting);
        (starting.memory.rebuilt, starting.told_upstream) = (Some(Incarnation(1)), follows_n1());
        let why = "requested WAL segment 000000080000000000000003 has already been removed";
        starting.wal_gone = Some(why.to_owned());
        assert_eq!(to_standby(&starting), Step::ask(Rebuild::Clone, Incarnation(1), why));
        starting.patience = Some(NOW.plus(Duration::from_millis(1)));
        assert_waits(&to_standby(&starting), "starting");
    }

    #[test]
    fn a_copy_that_does_not_start_asks_for_another_one_where_that_would_help() {
        let ended = |times, words: Option<&str>| {
            let words = words.map(str::to_owned);
            let early_ends = Some(EarlyEnds { incarnation: Incarnation(1), times, words });
            Observed { early_ends, ..with_end(at(7, 1_000), line_of_7()) }
        };
        let again = Step::StartAsStandby { follow: true };
        let fatal = "requested timeline 8 is not a child of this server's history";
        assert_eq!(to_standby(&ended(2, Some(fatal))), again);
        let why = format!("it ended 3 times in a row while it was starting: {fatal}");
        assert_eq!(to_standby(&ended(3, Some(fatal))), Step::ask(Rebuild::Clone, Incarnation(1), why));
        let mut in_vain = ended(3, Some(fatal));
        in_vain.patience = Some(NOW.plus(Duration::from_millis(1)));
        assert_eq!(to_standby(&in_vain), again, "the copy before it ended the same way");
        in_vain.patience = Some(NOW);
        assert!(matches!(to_standby(&in_vain), Step::AskForRebuild(_)));
        assert_eq!(to_standby(&ended(9, None)), again, "nobody knows why");
        let few = "superuser_reserved_connections (6) must be less than max_connections (3)";
        assert_eq!(to_standby(&ended(9, Some(few))), again, "another copy has the same parameters");
        let taken = "could not create any TCP/IP sockets";
        assert_eq!(to_standby(&ended(9, Some(taken))), again, "another copy would find the port taken, too");
        let mut former = ended(9, Some(fatal));
        former.early_ends.as_mut().unwrap().incarnation = Incarnation(0);
        assert_eq!(to_standby(&former), again, "that was the copy before");
    }

    #[test]
    fn a_stopped_copy_whose_own_wal_does_not_tell_where_it_ends_is_cloned_anew() {
        let mut seen = seen(Server::Gone);
        assert_eq!(to_standby(&seen), Step::ScanEnd { epoch: None, stopped: true });
        let why = "WAL ends at 0/4000028, but the latest checkpoint begins at 0/4000060";
        seen.wal_gone = Some(why.to_owned());
        assert_eq!(to_standby(&seen), Step::ask(Rebuild::Clone, Incarnation(1), why));
        seen.patience = Some(NOW.plus(Duration::from_millis(1)));
        assert_waits(&to_standby(&seen), "another one is asked for after a pause");
    }

    #[test]
    fn without_a_directory_it_asks_for_a_clone_and_makes_it_when_granted() {
        let missing = Observed { data: Data::Missing, ..seen(Server::Gone) };
        assert_eq!(to_standby(&missing), Step::ask(Rebuild::Clone, Incarnation(1), "no data directory"));
        let granted = StandbyGoal { rebuild: Some((Rebuild::Clone, Incarnation(1))), ..standby_goal() };
        let missing = Observed { memory: Memory::default(), ..missing };
        assert_eq!(step(&Goal::Standby(granted), &missing), Step::Clone { incarnation: Incarnation(1) });
    }

    fn granted(how: Rebuild) -> Goal {
        let incarnation = Incarnation(2);
        Goal::Standby(StandbyGoal { rebuild: Some((how, incarnation)), incarnation, ..standby_goal() })
    }

    #[test]
    fn a_granted_rebuild_stops_the_server_and_then_is_made() {
        let running = seen(Server::Standby(sealed_standby()));
        assert_stops(&step(&granted(Rebuild::Rewind), &running), Stop::Fast, "given up");
        let gone = seen(Server::Gone);
        assert_eq!(step(&granted(Rebuild::Rewind), &gone), Step::Rewind { incarnation: Incarnation(2) });
        assert_eq!(step(&granted(Rebuild::Clone), &gone), Step::Clone { incarnation: Incarnation(2) });
    }

    #[test]
    fn an_interrupted_rewind_asks_for_a_clone_and_an_interrupted_clone_begins_again() {
        let interrupted = |how| {
            let sentinel = Sentinel::Rebuild(how);
            let mut seen = Observed { data: Data::Unfinished(sentinel), ..seen(Server::Gone) };
            (seen.memory.sentinel, seen.memory.incarnation) = (Some(sentinel), Incarnation(2));
            seen
        };
        assert_eq!(
            step(&granted(Rebuild::Rewind), &interrupted(Rebuild::Rewind)),
            Step::ask(Rebuild::Clone, Incarnation(2), "the rewind was interrupted")
        );
        assert_eq!(
            step(&granted(Rebuild::Clone), &interrupted(Rebuild::Clone)),
            Step::Clone { incarnation: Incarnation(2) }
        );
    }

    #[test]
    fn a_finished_rebuild_is_not_made_again() {
        let mut seen = with_end(at(7, 1_000), line_of_7());
        seen.memory.incarnation = Incarnation(2);
        assert_eq!(step(&granted(Rebuild::Rewind), &seen), Step::StartAsStandby { follow: true });
    }
}

mod first {
    use super::*;

    #[test]
    fn the_first_directory_is_made_once_and_told_stopped() {
        let empty = Observed { data: Data::Missing, memory: Memory::default(), ..seen(Server::Gone) };
        assert_eq!(step(&Goal::Bootstrap, &empty), Step::InitDb);
        let half = Observed { data: Data::Unfinished(Sentinel::Create), ..empty.clone() };
        assert_eq!(step(&Goal::Bootstrap, &half), Step::InitDb);
        let mut made = seen(Server::Gone);
        assert!(matches!(step(&Goal::Bootstrap, &made), Step::Refuse { .. }), "data of another beginning");
        made.memory.created = Some((SYSTEM, at(1, 100)));
        assert_eq!(step(&Goal::Bootstrap, &made), Step::Nothing);
    }

    #[test]
    fn while_nothing_is_decided_only_a_primary_without_leave_is_ended() {
        let goal = Goal::Await { why: "its turn to clone".to_owned() };
        assert_waits(&step(&goal, &seen(Server::Standby(streaming_standby()))), "its turn");
        assert_waits(&step(&goal, &reigning()), "its turn");
        assert_stops(&step(&goal, &Observed { deadline: None, ..reigning() }), Stop::Fence, "leave");
    }
}

#[test]
fn a_restart_is_for_a_standby_that_answers_nobody_too_and_is_done_once() {
    let restart = Some(Revision(41));
    let goal = Goal::Standby(StandbyGoal { restart, ..standby_goal() });
    let hung = seen(Server::Silent { since: Duration::from_secs(1) });
    assert_stops(&step(&goal, &hung), Stop::Fast, "a restart was asked for");
    let proofs = Proofs { restarted: restart, ..Proofs::default() };
    assert_waits(&step(&goal, &Observed { proofs, told_upstream: follows_n1(), ..hung }), "not answered");
}

mod adopted {
    use super::*;
    use crate::instance::observed::Offered;
    use crate::report::Found;

    fn found() -> Found {
        Found {
            system: SYSTEM,
            standby: false,
            running: None,
            end: Some((at(1, 100), history(1, &[]))),
            highest: TimelineId(1),
            refused: None,
            notes: Vec::new(),
            timeline: Some(TimelineId(1)),
        }
    }

    fn looked(found: Found) -> Observed {
        let data = Data::Strange { why: "not made by Interrex".to_owned() };
        Observed { data, found: Some(found), memory: Memory::default(), ..seen(Server::Gone) }
    }

    /// Offered as incarnation 1, and not taken in yet.
    fn offered() -> Observed {
        let offered =
            Offered { incarnation: Incarnation(1), system: SYSTEM, standby: true, end: None, roles: false };
        let memory = Memory { offered: Some(offered), ..Memory::default() };
        Observed { data: Data::Offered(SYSTEM), memory, ..seen(Server::Gone) }
    }

    #[test]
    fn before_it_is_decided_only_a_server_that_may_be_stopped_is_touched() {
        let goal = |stop| Goal::Adopt { incarnation: Incarnation(1), stop };
        assert_waits(&step(&goal(false), &looked(found())), "all instances");
        assert_waits(&step(&goal(true), &looked(found())), "all instances");
        let running = looked(Found { running: Some(123), end: None, ..found() });
        assert_waits(&step(&goal(false), &running), "left alone");
        assert_eq!(step(&goal(true), &running), Step::StopFound);
        let refused = looked(Found { refused: Some("no pg_hba.conf".to_owned()), ..found() });
        assert!(matches!(step(&goal(true), &refused), Step::Refuse { .. }));
        let runs_on = looked(Found { running: Some(123), refused: Some("no history".to_owned()), ..found() });
        assert!(matches!(step(&goal(true), &runs_on), Step::Refuse { .. }), "it is not stopped in vain");
        let unseen =
            Observed { unseen: Some("cannot list /data".to_owned()), found: None, ..looked(found()) };
        assert!(matches!(step(&goal(true), &unseen), Step::Refuse { .. }), "the reason reaches the operator");
        let empty = Observed { data: Data::Missing, found: None, ..looked(found()) };
        assert_waits(&step(&goal(true), &empty), "all instances");
    }

    #[test]
    fn a_directory_is_taken_in_under_a_goal_that_counts_it_and_no_other() {
        assert_eq!(to_primary(false, &offered()), Step::TakeIn);
        assert_eq!(step(&Goal::Stopped { epoch: E8, line: None }, &offered()), Step::TakeIn);
        assert_eq!(step(&Goal::Standby(standby_goal()), &offered()), Step::TakeIn);
        // Nothing says yet whom it is to be judged against.
        let early = Goal::Standby(StandbyGoal { line: None, ..standby_goal() });
        assert_waits(&step(&early, &offered()), "a primary");
        let sealed = Goal::Sealed { epoch: E8, line: None, ended: None };
        assert_waits(&step(&sealed, &offered()), "a primary");
        // The record has no copy here: it was decided without this one.
        let clone =
            Goal::Standby(StandbyGoal { rebuild: Some((Rebuild::Clone, Incarnation(1))), ..standby_goal() });
        assert!(matches!(step(&clone, &offered()), Step::Refuse { .. }));
        assert!(matches!(step(&Goal::Bootstrap, &offered()), Step::Refuse { .. }));
    }

    #[test]
    fn a_standby_that_cannot_let_its_agent_in_is_started_anew_to_receive_the_roles() {
        let since = |seconds| Server::Silent { since: Duration::from_secs(seconds) };
        let goal = Goal::Standby(standby_goal());
        assert_stops(&step(&goal, &seen(since(10))), Stop::Fast, "not answered");
        assert_waits(&step(&goal, &seen(since(9))), "not answered");
        // Pointed at its upstream it may yet catch up; of one that an earlier agent started nothing is known, and it would
        // be waited for in vain.
        let told = |told_upstream, seconds| Observed { told_upstream, ..seen(since(seconds)) };
        assert_waits(&step(&goal, &told(follows_n1(), 60)), "not answered");
        assert_waits(&step(&goal, &told(Upstream::Other, 29)), "not answered");
        assert_stops(&step(&goal, &told(Upstream::Other, 30)), Stop::Fast, "agent was restarted");
    }

    #[test]
    fn a_standby_that_has_streamed_is_not_stopped_because_its_disk_stalls_after_its_agent_was_restarted() {
        let goal = Goal::Standby(standby_goal());
        let hung = seen(Server::Silent { since: Duration::from_secs(600) });
        let told_upstream = Upstream::Other;
        let mut streamed = Observed { told_upstream, ..hung };
        streamed.memory.told = Some(at(7, 900));
        assert_waits(&step(&goal, &streamed), "not answered");
        // One that never answered has told where it ends when it was sealed, and waits for the roles all the same.
        streamed.memory.in_vain = 1;
        assert_stops(&step(&goal, &streamed), Stop::Fast, "agent was restarted");
    }

    #[test]
    fn a_standby_that_cannot_receive_the_roles_any_more_asks_for_a_clone() {
        let goal = Goal::Standby(standby_goal());
        let gone = |seconds| Observed {
            told_upstream: follows_n1(),
            wal_gone: Some("requested WAL segment has already been removed".to_owned()),
            ..seen(Server::Silent { since: Duration::from_secs(seconds) })
        };
        assert_waits(&step(&goal, &gone(9)), "not answered");
        assert!(
            matches!(step(&goal, &gone(10)), Step::AskForRebuild(need) if need.rebuild == Rebuild::Clone)
        );
        let patience = Some(NOW.plus(Duration::from_secs(60)));
        assert_waits(&step(&goal, &Observed { patience, ..gone(10) }), "not answered");
    }
}
