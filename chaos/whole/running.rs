//! A run of an agent, between its process and the world: what it heard and wants goes to the world, what came of that comes
//! back.

use crate::process::Process;
use crate::strings::{Armed, News, Pull, Strings};
use interrex_agent::process::DeadlineError;
use interrex_agent::{Beaten, Held, Outgoing, Told, Undone};
use interrex_api::session::Welcome;
use interrex_cluster::ids::Epoch;
use interrex_cluster::time::Instant;
use interrex_sim::{Keeping, Stage};
use tokio::sync::{mpsc, oneshot, watch};

/// A run of an agent, from its first word on.
pub(crate) struct Running {
    pub(crate) i: usize,
    /// The world's number of this run.
    pub(crate) run: u32,
    pub(crate) process: Process,
    pub(crate) report: watch::Sender<Option<Outgoing>>,
    pub(crate) told: watch::Receiver<Told>,
    pub(crate) welcome: Option<oneshot::Receiver<Welcome>>,
    pub(crate) strings: Strings,
    /// Who waits for the deed under way.
    pub(crate) deed: Option<mpsc::Sender<News>>,
    /// Who waits for the beat under way.
    pub(crate) beat: Option<oneshot::Sender<Beaten>>,
}

impl Running {
    /// What it heard and wants goes to the world; what can be said of that at once comes back.
    pub(crate) fn tell_the_world(&mut self, stage: &mut Stage) {
        let i = self.i;
        if let Some(welcome) = self.welcome.as_mut().and_then(|welcome| welcome.try_recv().ok()) {
            self.welcome = None;
            stage.welcome(i, welcome.floor, welcome.goal);
        }
        // It may have found that it cannot stay.
        if !stage.runs(i, self.run) {
            return;
        }
        if self.told.has_changed().unwrap_or(false) {
            let Told { goal, primary, .. } = self.told.borrow_and_update().clone();
            let elected = primary.as_ref().map(|place| (&place.instance, place.epoch));
            if let Some(goal) = goal {
                stage.told(i, goal, elected);
            }
        }
        for pull in self.strings.take() {
            self.pulled(pull, stage);
        }
        let ended = stage.has_ended(i);
        self.strings.ended.send_if_modified(|shown| std::mem::replace(shown, ended) != ended);
        self.strings.reigns.send_replace(stage.reigns(i));
    }

    fn pulled(&mut self, pull: Pull, stage: &mut Stage) {
        let i = self.i;
        // Nobody who waits for an answer is gone before his process is.
        match pull {
            Pull::NoticeExit => stage.notice_exit(i),
            Pull::Look { goal, held: Held { lease, deadline }, found, seen } => {
                stage.holds(i, lease, deadline);
                let _ = seen.send(stage.look(i, goal.as_ref(), found));
            }
            Pull::Obey { stamp, written } => {
                let _ = written.send(stage.obey(i, stamp));
            }
            Pull::Note(due) => stage.note(i, &due),
            Pull::NoteFailure(words) => stage.note_failure(i, words),
            Pull::Begin { goal, step, news } => {
                self.deed = Some(news);
                stage.begin(i, goal, step);
            }
            Pull::Kept { done, held: Held { lease, deadline } } => {
                stage.holds(i, lease, deadline);
                stage.kept(i, done);
            }
            Pull::LeaveOff => {
                self.deed = None;
                stage.leave_off(i);
            }
            Pull::Guard { life, set, armed } => {
                let _ = armed.send(guard(stage, i, life, set));
            }
            Pull::WaitsForStandbys { goal, answer } => {
                let _ = answer.send(stage.waits_for_standbys(i, &goal));
            }
            Pull::Beat { epoch, over } => {
                self.beat = Some(over);
                if !stage.beat(i, epoch) {
                    self.beat_over(None);
                }
            }
            Pull::GiveUpBeat => {
                self.beat = None;
                stage.give_up_beat(i);
            }
            Pull::Knock { at, answered } => {
                if let Some(answer) = stage.knock(i, &at) {
                    let _ = answered.send(answer);
                }
            }
        }
    }

    /// The deed under way wants something of the keeper of the lease. Between deeds the loop sees to that itself.
    pub(crate) fn keep(&self, what: Keeping) {
        self.tell_deed(News::Keep(what));
    }

    /// The deed under way is over; if not done, then for that reason, or because a newer goal overtook it.
    pub(crate) fn deed_over(&self, outcome: Result<(), Option<String>>) {
        self.tell_deed(News::Over(outcome.map_err(|why| why.map_or(Undone::Overtaken, Undone::Failed))));
    }

    fn tell_deed(&self, news: News) {
        if let Some(deed) = &self.deed {
            // It asks for one thing at a time; one that was left hears nothing.
            let _ = deed.try_send(news);
        }
    }

    /// The beat under way came back, as the first of its epoch or a later one; or it never will.
    pub(crate) fn beat_over(&mut self, first: Option<bool>) {
        if let Some(beat) = self.beat.take() {
            let _ = beat.send(first.map_or(Beaten::Not, |first| Beaten::Back { first }));
        }
    }
}

/// What the guard of a server answers: of that life, or none.
fn guard(stage: &mut Stage, i: usize, life: u32, set: Option<(Epoch, Instant)>) -> Armed {
    if !stage.lives(i, life) {
        return Err(DeadlineError::Ended);
    }
    if let Some((epoch, until)) = set {
        match stage.deadline(i) {
            Some((seen, _)) if seen > epoch => {
                return Err(DeadlineError::StaleEpoch { seen: seen.0, asked: epoch.0 });
            }
            Some(_) | None => stage.set_deadline(i, epoch, until),
        }
    }
    let (epoch, until) = stage.deadline(i).unzip();
    Ok((epoch.unwrap_or_default(), until))
}
