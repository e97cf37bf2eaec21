//! Which event is whose: the switchboard between the loop and the parts of the world.

use crate::event::Event;
use crate::world::World;
use interrex_check::Fact;

impl World {
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Strike { number } => self.strike(number),
            Event::Mend(mend) => self.mend(mend),
            Event::Heal => self.heal(),
            Event::Healed => self.healed(),
            Event::Calm => self.in_each(|world| world.fact(&Fact::Calm)),
            Event::Client { client } => self.client(client),
            Event::Read => self.read(),
            Event::Route { state } => self.route(state),
            Event::GivesUp { client, turn } => self.gives_up(client, turn),
            Event::RaftTick => self.raft_tick(),
            Event::Commit { c, run, id } => self.commit(c, run, id),
            Event::Apply { c, run, upto } => self.replicated(c, run, upto),
            Event::Look { c, run, token } => self.look(c, run, token),
            Event::Confirmed { c, run, term, ask } => self.confirmed(c, run, term, ask),
            Event::Grants { c, run, term, ask } => self.grants(c, run, term, ask),
            Event::WatchOpen { c, run, i } => self.watch_open(c, run, i),
            Event::Report { c, crun, i, serial, sent, said } => {
                self.report((c, crun), i, serial, sent, &said)
            }
            Event::Register { i, run } => self.register(i, run),
            Event::Welcome { i, run, floor, goal } => self.welcomed(i, run, floor, goal),
            Event::Goal { i, run, c, crun, goal, place } => self.goal_came(i, run, (c, crun), goal, place),
            Event::Granted { i, run, epoch, sent } => self.granted(i, run, epoch, sent),
            Event::Wake { i, run, token } => self.wake(i, run, token),
            Event::Act { i, run, token } => self.act(i, run, token),
            Event::Deed { i, run, deed } => self.deed(i, run, deed),
            Event::Side { i, run, deed } => self.side_look(i, run, deed),
            Event::Line { i, run, c } => self.line(i, run, c),
            Event::Heart { i, run, token } => self.heart(i, run, token),
            Event::Beat { i, run, token } => self.beat(i, run, token),
            Event::Beaten { i, run, beat, good } => self.beaten(i, run, beat, good),
            Event::Up { i, life } => self.up(i, life),
            Event::Conf { i, life, part } => self.conf(i, life, part),
            Event::Receive { i, life } => self.receive(i, life),
            Event::Connect { i, life, link } => self.connect(i, life, link),
            Event::Check { i, life, link } => self.check(i, life, link),
            Event::Wal { i, life, link, to } => self.wal(i, life, link, to),
            Event::Ack { i, life, link, flushed } => self.ack(i, life, link, flushed),
            Event::Flush { i, life } => self.flushed(i, life),
            Event::Promote { i, life } => self.promoted_server(i, life),
            Event::Gone { i, life, exit } => self.gone(i, life, exit),
            Event::Guard { i, life } => self.guard(i, life),
        }
    }
}
