//! The stage of the scenes: one cluster, what was heard of its instances, a clock that only the script moves.

use crate::apply::apply;
use crate::command::{Adopting, Asking, Command, Entry, Registration};
use crate::decide::{Decision, decide};
use crate::explain;
use crate::goal::{Goal, goal};
use crate::ids::{
    ClusterId, ClusterName, DirectoryId, Epoch, Incarnation, InstanceName, Revision, RuleNumber, Stamp,
    SystemId,
};
use crate::memory::Memory;
use crate::operation::contradiction::contradiction;
use crate::operation::outage;
use crate::operation::preview::{self, Preview};
use crate::operation::switchover;
use crate::policy::Policy;
use crate::receipt::Receipt;
use crate::record::{Address, Asked, Cluster, Copy, Fork, Operation, Reign, Secrets, SyncTarget};
use crate::reinit;
use crate::report::{
    Failing, Found, Knock, Need, Primary, Promotion, Rebuild, Receiver, Report, Seal, Sender, Server,
    Standby, Unfit,
};
use crate::spec::{OnCrash, Spec, WhenAlone};
use crate::time::{Instant, WallMs};
use crate::view::{Heard, View};
use crate::wal::{Ancestor, History, Lsn, Position, TimelineId};
use std::collections::BTreeMap;
use std::fmt::Write;

const SYSTEM: SystemId = SystemId(7_000_000_000_000_000_001);
const END: Lsn = Lsn(0x500_0100);

pub(super) struct World {
    clusters: BTreeMap<ClusterName, Cluster>,
    heard: BTreeMap<InstanceName, Heard>,
    memory: Memory,
    policy: Policy,
    now: Instant,
    last_grant: Instant,
    index: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            clusters: BTreeMap::new(),
            heard: BTreeMap::new(),
            memory: Memory::default(),
            policy: Policy::default(),
            now: Instant(100_000),
            last_grant: Instant(0),
            index: 0,
        }
    }
}

fn cluster_name() -> ClusterName {
    "orders".parse().unwrap()
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn names(text: &str) -> impl Iterator<Item = InstanceName> + '_ {
    text.split(',').filter(|t| !t.is_empty()).map(name)
}

/// `key=value` of a line.
fn arg<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

impl World {
    /// Plays one line; what it prints is part of the outcome.
    pub(super) fn act(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["steady", rest @ ..] => {
                *self = World::default();
                self.steady(rest);
            }
            ["anew"] => *self = World::default(),
            ["create", rest @ ..] => return self.create(rest),
            ["found", who, rest @ ..] => self.found(&name(who), rest),
            ["unseen", who, why @ ..] => self.edit(&name(who), |report| {
                report.found = None;
                report.unseen = Some(why.join(" "));
            }),
            ["register", rest @ ..] => return self.register(rest),
            ["wait", ms] => self.now = Instant(self.now.0 + ms.parse::<u64>().unwrap()),
            ["hear", who @ ..] => self.hear(who),
            ["lease-granted"] => self.last_grant = self.now,
            ["lost", who, "of", gone] => self.lost(who, gone),
            ["quiet", who, "for", ms, rest @ ..] => self.quiet(who, ms.parse().unwrap(), rest),
            ["seal", who, rest @ ..] => self.seal(&name(who), rest),
            ["server", who, what, rest @ ..] => self.server(&name(who), what, rest),
            ["deaf", who, ms] => {
                let epoch = self.cluster().epoch;
                let for_ms = ms.parse().unwrap();
                self.edit(&name(who), |report| {
                    report.knock = Some(Knock { epoch, answered: false, for_ms });
                });
            }
            ["unfit", who, why] => self.edit(&name(who), |report| {
                report.unfit = vec![match *why {
                    "paused" => Unfit::ReplayPaused,
                    parameter => Unfit::ParameterTooLow { name: parameter.to_owned() },
                }];
            }),
            ["has-replayed", who, lsn] => self.edit(&name(who), |report| match &mut report.server {
                Server::Standby(standby) => standby.replayed = lsn.parse().unwrap(),
                other => panic!("no standby: {other:?}"),
            }),
            ["pending", who, parameters] => {
                let pending = parameters.split(',').map(str::to_owned).collect();
                self.edit(&name(who), |report| report.pending_restart = pending);
            }
            ["obeyed", who, stamp] => {
                let (epoch, revision) = stamp.split_once('.').unwrap();
                let obeyed = Stamp {
                    epoch: Epoch(epoch.parse().unwrap()),
                    revision: Revision(revision.parse().unwrap()),
                };
                self.edit(&name(who), |report| report.obeyed = obeyed);
            }
            ["receipt", who, rest @ ..] => {
                let at = |key| {
                    let lsn = arg(rest, key)?.parse().unwrap();
                    Some(Position { timeline: TimelineId(7), lsn })
                };
                let receipt = Receipt {
                    epoch: self.cluster().epoch,
                    incarnation: self.cluster().instances[&name(who)].incarnation,
                    how: Rebuild::Rewind,
                    from: at("from"),
                    to: at("to"),
                    bytes: 48,
                    transactions: arg(rest, "transactions").map(|n| n.parse().unwrap()),
                    commits: None,
                    tables: arg(rest, "table")
                        .map(|table| format!("{table}: 1 inserted"))
                        .into_iter()
                        .collect(),
                    gaps: Vec::new(),
                    kept: "/data/receipts/8-0-5000060".to_owned(),
                };
                self.edit(&name(who), |report| report.receipt = Some(receipt));
            }
            ["doubt", who, why @ ..] => {
                let why = (!why.is_empty()).then(|| why.join(" "));
                self.edit(&name(who), |report| report.doubt = why);
            }
            ["failing", who, times, clones] => {
                let (times, clones) = (times.parse().unwrap(), clones.parse().unwrap());
                let lines = vec!["FATAL:  could not load pg_hba.conf".to_owned()];
                self.edit(&name(who), |report| report.failing = Some(Failing { times, clones, lines }));
            }
            ["incarnation", who, n] => {
                let incarnation = Incarnation(n.parse().unwrap());
                self.edit(&name(who), |report| report.incarnation = incarnation);
            }
            ["needs", who, how] => {
                let rebuild = if *how == "rewind" { Rebuild::Rewind } else { Rebuild::Clone };
                self.edit(&name(who), |report| {
                    let incarnation = report.incarnation;
                    report.needs = Some(Need { rebuild, incarnation, why: "wrote past the fork".to_owned() });
                });
            }
            ["rebuilt", who, n] => {
                let incarnation = Incarnation(n.parse().unwrap());
                self.edit(&name(who), |report| {
                    report.incarnation = incarnation;
                    report.needs = None;
                    report.proofs.rebuilt = Some(incarnation);
                });
            }
            ["created", who] => self.edit(&name(who), |report| {
                let end = Position { timeline: TimelineId(1), lsn: Lsn(0x150_0000) };
                report.proofs.created = Some((SYSTEM, end));
                report.server = Server::Stopped { system: SYSTEM, exit: None };
            }),
            ["promoted", who, rest @ ..] => self.promoted(&name(who), rest),
            ["opened", who] => {
                let epoch = self.cluster().epoch;
                self.edit(&name(who), |report| report.proofs.opened = Some(epoch));
            }
            ["fetches", who, "from", from, rest @ ..] => {
                let (from, lsn) = (name(from), arg(rest, "at").map_or(END, |lsn| lsn.parse().unwrap()));
                self.edit(&name(who), |report| {
                    report.proofs.sealed = None;
                    report.server = standby(Some(&from), Epoch(7), lsn);
                });
            }
            ["streams", who, rest @ ..] => self.streams(&name(who), rest),
            ["proves", who] => {
                let proof = (self.cluster().epoch, self.cluster().sync.number);
                self.edit(&name(who), |report| report.proofs.rule = Some(proof));
            }
            ["judges", who, refused @ ..] => {
                let number =
                    self.cluster().proposed.as_ref().map(|proposed| proposed.number).unwrap_or_default();
                let refused = (!refused.is_empty()).then(|| refused.join(" "));
                self.edit(&name(who), |report| report.proofs.judged = Some((number, refused)));
            }
            ["restarted", who] => {
                let Some(Asked::Restart { number }) = self.cluster().instances[&name(who)].asked else {
                    panic!("no restart is asked of {who}")
                };
                self.edit(&name(who), |report| report.proofs.restarted = Some(number));
            }
            ["checkpointed", who] => {
                let Operation::Switchover(under_way) = &self.cluster().operation else {
                    panic!("no switchover is prepared")
                };
                let number = under_way.checkpoint;
                self.edit(&name(who), |report| report.proofs.checkpoint = Some(number));
            }
            ["expected", "failover", to, rest @ ..] => {
                let fenced = arg(rest, "fenced").map(|fenced| names(fenced).collect()).unwrap_or_default();
                return self.with_view(|view| {
                    format!("{}\n", outage::of_failover(view, &fenced, &name(to), view.record.epoch.next()))
                });
            }
            ["expected", "switchover", from, to] => {
                return self.with_view(|view| {
                    let epoch = view.record.epoch.next();
                    format!("{}\n", outage::of_switchover(view, &name(from), &name(to), epoch))
                });
            }
            ["preview", "switchover", rest @ ..] => return self.preview(rest.first().map(|to| name(to))),
            ["preview", "failover", rest @ ..] => return self.preview_failover(rest),
            ["preview", "reinit", who] => {
                let objection = reinit::objection(self.cluster(), &name(who));
                return format!("{}\n", objection.unwrap_or_else(|| "nothing speaks against it".to_owned()));
            }
            ["decide"] => return explain_lines(&self.decide()),
            ["step"] => return self.step().0,
            ["run"] => return self.run(),
            ["goals"] => return self.goals(),
            ["whole"] => {
                let whole = if self.cluster().is_whole() { "whole" } else { "not whole" };
                return format!("{whole}\n");
            }
            ["rules"] => {
                let rules = self.cluster().rules.iter();
                return rules.map(|rule| format!("{rule}\n")).collect();
            }
            ["refusals"] => return self.refusals(),
            ["propose", rest @ ..] => return self.propose(rest),
            _ => panic!("no such act: {line}"),
        }
        String::new()
    }

    fn cluster(&self) -> &Cluster {
        &self.clusters[&cluster_name()]
    }

    /// A cluster in epoch 7: n1 is primary, the others stream, every one holds 0/5000100.
    fn steady(&mut self, words: &[&str]) {
        self.create(words);
        let count = arg(words, "instances").map_or(3, |n| n.parse::<u32>().unwrap());
        for i in 1..=count {
            self.register(&[&format!("n{i}")]);
        }
        let (epoch, primary) = (Epoch(7), name("n1"));
        let zone_of = |words: &[&str], who: &InstanceName| {
            arg(words, "zones")
                .and_then(|zones| zones.split(',').find_map(|z| z.strip_prefix(&format!("{who}:"))))
                .unwrap_or_default()
                .to_owned()
        };
        let cluster = self.clusters.get_mut(&cluster_name()).unwrap();
        let parent = TimelineId(4);
        let begin = Lsn(0x400_0000);
        cluster.system = Some(SYSTEM);
        cluster.epoch = epoch;
        cluster.operation = Operation::None;
        cluster.timelines = vec![
            Fork { epoch: Epoch(1), instance: primary.clone(), parent: TimelineId(0), begin: Lsn(0) },
            Fork { epoch: Epoch(4), instance: name("n2"), parent: TimelineId(1), begin: Lsn(0x300_0000) },
            Fork { epoch, instance: primary.clone(), parent, begin },
        ];
        cluster.primary = Some(Reign {
            instance: primary.clone(),
            fork: Some(Promotion { epoch, parent, begin }),
            open: true,
        });
        for (who, member) in &mut cluster.instances {
            member.copy = Copy::Whole;
            member.zone = zone_of(words, who);
            let wish = arg(words, "priority")
                .and_then(|p| p.split(',').find_map(|p| p.strip_prefix(&format!("{who}:"))));
            member.priority = match wish {
                Some("never") => None,
                Some(n) => Some(n.parse().unwrap()),
                None => Some(1),
            };
        }
        let members = cluster.instances.keys().filter(|who| **who != primary).cloned();
        let standbys = arg(words, "s").map_or_else(|| members.collect(), |s| names(s).collect());
        let k = cluster.spec.acks;
        cluster.sync = SyncTarget { number: RuleNumber(9), k, standbys, proved: true };
        cluster.rules = vec![crate::record::CommitRule {
            number: RuleNumber(9),
            epoch,
            primary: primary.clone(),
            k,
            standbys: cluster.sync.standbys.clone(),
            covered_at: None,
        }];
        let everybody: Vec<InstanceName> = self.cluster().instances.keys().cloned().collect();
        for who in &everybody {
            let server = if *who == primary {
                self.primary_server(&primary, &everybody)
            } else {
                standby(Some(&primary), epoch, END)
            };
            self.edit(who, |report| report.server = server.clone());
        }
        self.last_grant = self.now;
        self.look();
    }

    fn primary_server(&self, primary: &InstanceName, streaming: &[InstanceName]) -> Server {
        let incarnation = |who: &InstanceName| self.cluster().instances[who].incarnation;
        Server::Primary(Primary {
            system: SYSTEM,
            timeline: TimelineId(self.cluster().epoch.0),
            flushed: END,
            senders: streaming
                .iter()
                .filter(|who| *who != primary)
                .map(|who| Sender {
                    instance: who.clone(),
                    incarnation: incarnation(who),
                    streaming: true,
                    flushed: END,
                    replayed: END,
                    reply_age_ms: 10,
                    behind_ms: 0,
                })
                .collect(),
            open: true,
            beat_age_ms: Some(100),
        })
    }

    fn create(&mut self, words: &[&str]) -> String {
        let number = |key: &str, default| arg(words, key).map_or(default, |n| n.parse().unwrap());
        let spec = Spec {
            instances: number("instances", 3),
            acks: number("acks", 1),
            min_acks: number("min_acks", 0),
            when_alone: match arg(words, "when_alone") {
                Some("block") => WhenAlone::Block,
                _ => WhenAlone::Continue,
            },
            max_data_loss: u64::from(number("max_data_loss", 0)),
            on_crash: match arg(words, "on_crash") {
                Some("restart") => OnCrash::Restart,
                _ => OnCrash::Failover,
            },
            ..Spec::default()
        };
        let secrets = Secrets { superuser: "s".to_owned(), replication: "r".to_owned(), owner: None };
        let take_over = words.contains(&"take-over");
        let adopt = (take_over || words.contains(&"adopt")).then_some(Adopting { take_over });
        let made = self.apply(Command::Create { id: ClusterId(0xbeef), spec, secrets, adopt });
        match made {
            Ok(events) if self.index > 1 => events.iter().map(|event| format!("> {event}\n")).collect(),
            Ok(_) => String::new(),
            Err(why) => format!("rejected: {why}\n"),
        }
    }

    /// A data directory that was there before Interrex.
    fn found(&mut self, who: &InstanceName, words: &[&str]) {
        let timeline = TimelineId(arg(words, "timeline").map_or(1, |t| t.parse().unwrap()));
        let ancestors = arg(words, "history").unwrap_or_default().split(',').filter(|a| !a.is_empty());
        let ancestor = |text: &str| {
            let (timeline, end) = text.split_once(':').unwrap();
            Ancestor { timeline: TimelineId(timeline.parse().unwrap()), end: end.parse().unwrap() }
        };
        let history = History { timeline, ancestors: ancestors.map(ancestor).collect() };
        let lsn = arg(words, "at").map_or(END, |lsn| lsn.parse().unwrap());
        let running = arg(words, "running").map(|pid| pid.parse().unwrap());
        let found = Found {
            system: arg(words, "system").map_or(SYSTEM, |s| SystemId(s.parse().unwrap())),
            standby: words.contains(&"standby"),
            running,
            end: (running.is_none() && !words.contains(&"endless"))
                .then_some((Position { timeline, lsn }, history)),
            timeline: (!words.contains(&"older-agent")).then_some(timeline),
            highest: arg(words, "highest").map_or(timeline, |t| TimelineId(t.parse().unwrap())),
            refused: words.iter().position(|word| *word == "refused").map(|at| words[at + 1..].join(" ")),
            notes: arg(words, "note").map(|note| note.replace('_', " ")).into_iter().collect(),
        };
        self.edit(who, |report| {
            report.server = Server::Stopped { system: SystemId(0), exit: None };
            report.found = Some(found);
            report.unseen = None;
        });
    }

    fn register(&mut self, words: &[&str]) -> String {
        let instance = name(words[0]);
        let directory = DirectoryId(arg(words, "directory").unwrap_or(words[0]).to_owned());
        let outcome = self.apply(Command::Register(Registration {
            instance: instance.clone(),
            machine: words[0].parse().unwrap(),
            zone: String::new(),
            directory: directory.clone(),
            address: Address { host: "127.0.0.1".to_owned(), port: 5432 },
            priority: Some(1),
            major: 15,
            system: arg(words, "system").map(|s| SystemId(s.parse().unwrap())),
            replaces: arg(words, "replaces").map(|d| DirectoryId(d.to_owned())),
        }));
        let report =
            Report { incarnation: Incarnation(1), ..Report::of(instance.clone(), directory, Server::NoData) };
        self.heard.entry(instance).or_insert(Heard { report, at: self.now });
        outcome.map_or_else(|why| format!("rejected: {why}\n"), |_| String::new())
    }

    /// The named ones report again, unchanged; `all`: everybody.
    fn hear(&mut self, who: &[&str]) {
        let now = self.now;
        for (name, heard) in &mut self.heard {
            if who.contains(&"all") || who.contains(&name.as_str()) {
                heard.at = now;
            }
        }
        self.look();
    }

    fn edit(&mut self, who: &InstanceName, change: impl FnOnce(&mut Report)) {
        let now = self.now;
        let stamp = Stamp { epoch: self.cluster().epoch, revision: self.cluster().revision };
        let heard = self.heard.get_mut(who).unwrap_or_else(|| panic!("{who} never registered"));
        heard.at = now;
        heard.report.obeyed = stamp;
        change(&mut heard.report);
    }

    /// The receivers of `who` lost `gone`, and its port does not answer.
    fn lost(&mut self, who: &str, gone: &str) {
        let epoch = self.cluster().epoch;
        let _ = name(gone);
        for who in names(who) {
            self.edit(&who, |report| {
                if let Server::Standby(standby) = &mut report.server {
                    standby.receiver = None;
                }
                report.knock = Some(Knock { epoch, answered: false, for_ms: 500 });
            });
        }
    }

    /// The receivers of `who` stream as before, and nothing came for so long; `unanswered`: the primary's port is silent.
    fn quiet(&mut self, who: &str, ms: u64, words: &[&str]) {
        let epoch = self.cluster().epoch;
        let answered = !words.contains(&"unanswered");
        for who in names(who) {
            self.edit(&who, |report| {
                if let Server::Standby(Standby { receiver: Some(receiver), .. }) = &mut report.server {
                    receiver.quiet_ms = ms;
                }
                report.knock = Some(Knock { epoch, answered, for_ms: 500 });
            });
        }
    }

    fn seal(&mut self, who: &InstanceName, words: &[&str]) {
        let epoch = self.cluster().epoch;
        let lsn = arg(words, "at").map_or(END, |lsn| lsn.parse().unwrap());
        let timeline = arg(words, "timeline").map_or(TimelineId(7), |t| TimelineId(t.parse().unwrap()));
        let stopped = words.contains(&"stopped");
        let fork = arg(words, "fork").map(|begin| Promotion {
            epoch: Epoch(timeline.0),
            parent: TimelineId(7),
            begin: begin.parse().unwrap(),
        });
        self.edit(who, |report| {
            let position = Position { timeline, lsn };
            report.proofs.sealed = Some(Seal { epoch, position, stopped, fork });
            report.server = if stopped {
                Server::Stopped { system: SYSTEM, exit: None }
            } else {
                standby(None, epoch, lsn)
            };
        });
    }

    fn server(&mut self, who: &InstanceName, what: &str, words: &[&str]) {
        let epoch = self.cluster().epoch;
        let server = match what {
            "no-data" => Server::NoData,
            "stopped" => Server::Stopped { system: SYSTEM, exit: arg(words, "exit").map(ToOwned::to_owned) },
            "silent" => Server::Silent {
                for_ms: words[0].parse().unwrap(),
                why: arg(words, "why").map(ToOwned::to_owned),
            },
            "standby" => standby(None, epoch, END),
            "primary" => {
                let streaming: Vec<InstanceName> = names(arg(words, "senders").unwrap_or_default()).collect();
                self.primary_server(who, &streaming)
            }
            other => panic!("no such server: {other}"),
        };
        self.edit(who, |report| report.server = server);
    }

    fn promoted(&mut self, who: &InstanceName, words: &[&str]) {
        let epoch = self.cluster().epoch;
        let begin = arg(words, "at").map_or(END, |lsn| lsn.parse().unwrap());
        let parent = arg(words, "parent").map_or(TimelineId(7), |t| TimelineId(t.parse().unwrap()));
        let mut ancestors = self.cluster().line().map(|line| line.ancestors).unwrap_or_default();
        ancestors.retain(|ancestor| ancestor.timeline < parent);
        ancestors.push(Ancestor { timeline: parent, end: begin });
        let line = History { timeline: TimelineId(epoch.0), ancestors };
        let server = self.primary_server(who, &[]);
        self.edit(who, |report| {
            report.proofs.promoted = Some(Promotion { epoch, parent, begin });
            report.proofs.promoted_line = Some(line);
            report.proofs.noted =
                arg(words, "noted").map(|note| note.replace('_', " ")).into_iter().collect();
            report.server = server;
        });
    }

    /// `who` streams from the primary, and the primary says so too.
    fn streams(&mut self, who: &InstanceName, words: &[&str]) {
        let epoch = self.cluster().epoch;
        let lsn = arg(words, "at").map_or(END, |lsn| lsn.parse().unwrap());
        let primary = self.cluster().primary.clone().unwrap().instance;
        let incarnation = self.cluster().instances[who].incarnation;
        self.edit(who, |report| {
            report.server = standby(Some(&primary), epoch, lsn);
            report.knock = None;
        });
        let sender = Sender {
            instance: who.clone(),
            incarnation,
            streaming: true,
            flushed: lsn,
            replayed: lsn,
            reply_age_ms: 10,
            behind_ms: 0,
        };
        self.edit(&primary, |report| {
            if let Server::Primary(primary) = &mut report.server {
                primary.senders.retain(|s| s.instance != *who);
                primary.senders.push(sender);
            }
        });
        self.look();
    }

    fn with_view<T>(&self, see: impl FnOnce(&View<'_>) -> T) -> T {
        let policy = self.policy.of(&self.cluster().spec);
        see(&View {
            record: self.cluster(),
            heard: &self.heard,
            listening_since: Instant(0),
            last_grant: self.last_grant,
            policy: &policy,
            now: self.now,
        })
    }

    fn look(&mut self) {
        let mut memory = std::mem::take(&mut self.memory);
        self.with_view(|view| memory.look(view));
        self.memory = memory;
    }

    fn decide(&mut self) -> Decision {
        self.look();
        self.with_view(|view| decide(view, &self.memory))
    }

    fn refusals(&mut self) -> String {
        self.look();
        let Operation::Failover(failover) = &self.cluster().operation else {
            return "no failover\n".to_owned();
        };
        let choice = self.with_view(|view| crate::candidate::choose(view, failover, false));
        let mut out = format!("winner: {}\n", choice.winner.map_or("nobody".to_owned(), |w| w.to_string()));
        for refusal in &choice.refusals {
            let _ = writeln!(out, "{refusal}");
        }
        out
    }

    /// What a switchover would do now.
    fn preview(&mut self, to: Option<InstanceName>) -> String {
        self.look();
        told(&self.with_view(|view| switchover::preview(view, to.as_ref())))
    }

    /// What a failover would do now, or does that is under way: `[to=n2] [accept-loss] [fenced=n1]`.
    fn preview_failover(&mut self, words: &[&str]) -> String {
        let (to, accept_loss) = (arg(words, "to").map(name), words.contains(&"accept-loss"));
        let fenced = arg(words, "fenced").map(|fenced| names(fenced).collect()).unwrap_or_default();
        let waits = self.decide().waits;
        self.with_view(|view| {
            let preview = preview::failover(view, to.as_ref(), accept_loss, &waits);
            let why = contradiction(view, to.as_ref(), &fenced, preview.would_win.as_ref());
            told(&preview) + &why.map_or_else(String::new, |why| format!("refused: {why}\n"))
        })
    }

    fn apply(&mut self, command: Command) -> Result<Vec<String>, String> {
        self.index += 1;
        let entry = Entry { cluster: cluster_name(), command, at: WallMs(self.now.0) };
        apply(&mut self.clusters, &entry, self.index)
            .map(|events| events.into_iter().map(|event| format!("{}: {}", event.kind, event.text)).collect())
            .map_err(|why| why.to_string())
    }

    fn step(&mut self) -> (String, bool) {
        let decision = self.decide();
        let mut out = explain_lines(&decision);
        let acted = !decision.commands.is_empty();
        for command in decision.commands {
            match self.apply(command) {
                Ok(events) => events.iter().for_each(|event| out.push_str(&format!("> {event}\n"))),
                Err(why) => out.push_str(&format!("> rejected: {why}\n")),
            }
        }
        (out, acted)
    }

    /// Decides and applies until nothing is left to do; prints events, and the last decision.
    fn run(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..20 {
            let (text, acted) = self.step();
            if !acted {
                return out + &text;
            }
            out.extend(text.lines().filter(|line| line.starts_with('>')).map(|line| format!("{line}\n")));
        }
        panic!("the rules never come to rest:\n{out}");
    }

    fn goals(&self) -> String {
        let mut out = String::new();
        for who in self.cluster().instances.keys() {
            let Some(stamped) = goal(self.cluster(), who) else { continue };
            let text = match &stamped.goal {
                Goal::Await { why } => format!("awaits {why}"),
                Goal::Bootstrap => "creates the first copy".to_owned(),
                Goal::Adopt { stop: false, .. } => "says what it holds".to_owned(),
                Goal::Adopt { stop: true, .. } => "stops what runs, and says what it holds".to_owned(),
                Goal::Primary(goal) => {
                    let confirmed = if goal.confirmed { ", confirmed" } else { "" };
                    format!(
                        "primary of epoch {}, {} of [{}]{confirmed}",
                        goal.epoch,
                        goal.sync.k,
                        goal.sync.names.join(" ")
                    )
                }
                Goal::Standby(goal) => {
                    let rebuild = goal.rebuild.map_or(String::new(), |(how, n)| {
                        format!(", {} as incarnation {n}", format!("{how:?}").to_lowercase())
                    });
                    let restart = if goal.restart.is_some() { ", restarted" } else { "" };
                    format!(
                        "standby of {} in epoch {} as {}{rebuild}{restart}",
                        goal.upstream, goal.epoch, goal.name
                    )
                }
                Goal::Sealed { epoch, .. } => format!("sealed for epoch {epoch}"),
                Goal::Stopped { epoch, .. } => format!("stopped for epoch {epoch}"),
            };
            let _ = writeln!(out, "{who} {}: {text}", stamped.stamp);
        }
        out
    }

    /// Proposes a command as an old or a foreign leader might.
    fn propose(&mut self, words: &[&str]) -> String {
        let epoch = arg(words, "epoch").map_or(self.cluster().epoch, |e| Epoch(e.parse().unwrap()));
        let who = arg(words, "instance").map(name);
        let standbys = arg(words, "s").map(|s| names(s).collect()).unwrap_or_default();
        let command = match words[0] {
            "switchover" => Command::BeginSwitchover { epoch, to: who.unwrap() },
            "hand-over" => Command::BeginHandOver { epoch, to: who.unwrap() },
            "abandon" => Command::AbandonSwitchover { epoch, why: "asked for".to_owned() },
            "fetch" => {
                Command::BeginFetch { epoch, to: who.unwrap(), from: name(arg(words, "from").unwrap()) }
            }
            "end-fetch" => Command::EndFetch { epoch, given_up: None },
            "set" => {
                let before = self.cluster().spec.clone();
                let mut spec = before.clone();
                for pair in words[1..].iter().filter_map(|word| word.split_once('=')) {
                    if let Err(why) = spec.set(pair.0, pair.1) {
                        return format!("refused: {why}\n");
                    }
                }
                Command::SetSpec { before, spec }
            }
            "take-over" => Command::TakeOver { instance: who.unwrap() },
            "restart" => Command::Ask { instance: who.unwrap(), what: Asking::Restart },
            "reinit" => Command::Ask { instance: who.unwrap(), what: Asking::Reinit { discard_old: false } },
            "leave" => Command::Ask { instance: who.unwrap(), what: Asking::Leave },
            "take-back" => Command::Ask { instance: who.unwrap(), what: Asking::Nothing },
            "remove" => Command::Remove { instance: who.unwrap(), epoch },
            "pause" => Command::SetPaused { paused: true },
            "resume" => Command::SetPaused { paused: false },
            "begin" => Command::BeginFailover { epoch, reason: "asked for".to_owned(), wanted: who },
            "elect" => Command::Elect { epoch, instance: who.unwrap(), k: 1, standbys, loss: None },
            "accept-loss" => Command::AcceptLoss { epoch, fenced: standbys },
            "rule" => Command::ChangeRule { epoch, k: 1, standbys },
            "retire" => Command::RetireRules {
                epoch,
                number: RuleNumber(arg(words, "number").unwrap().parse().unwrap()),
            },
            "rebuild" => Command::GrantRebuild {
                instance: who.unwrap(),
                incarnation: Incarnation(arg(words, "incarnation").map_or(1, |n| n.parse().unwrap())),
                how: Rebuild::Clone,
                until: Position { timeline: TimelineId(epoch.0), lsn: END },
            },
            other => panic!("no such command: {other}"),
        };
        match self.apply(command) {
            Ok(events) if events.is_empty() => "> nothing changed\n".to_owned(),
            Ok(events) => events.iter().map(|event| format!("> {event}\n")).collect(),
            Err(why) => format!("> rejected: {why}\n"),
        }
    }
}

fn standby(upstream: Option<&InstanceName>, epoch: Epoch, lsn: Lsn) -> Server {
    Server::Standby(Standby {
        system: SYSTEM,
        replayed: lsn,
        receiver: upstream.map(|upstream| Receiver {
            upstream: Some(upstream.clone()),
            streaming: true,
            timeline: TimelineId(epoch.0),
            flushed: lsn,
            quiet_ms: 20,
        }),
    })
}

fn told(preview: &Preview) -> String {
    let winner = preview.would_win.as_ref().map_or("nobody", InstanceName::as_str);
    let mut out = format!("to: {winner}\n");
    preview.refusals.iter().for_each(|refusal| out.push_str(&format!("  not: {refusal}\n")));
    preview.obstacles.iter().for_each(|obstacle| out.push_str(&format!("  {obstacle}\n")));
    preview.may_lose.iter().for_each(|loss| out.push_str(&format!("  may lose: {loss}\n")));
    out
}

fn explain_lines(decision: &Decision) -> String {
    explain::lines(decision).iter().map(|line| format!("{line}\n")).collect()
}
