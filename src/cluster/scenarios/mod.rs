//! Scenes as text with their expected outcome, and their small runner.
//!
//! A scene is a sequence of acts, each a few lines of what happens, then `----`, then exactly what the rules make of
//! it, up to a blank line. `#` begins a sentence for the reader. `UPDATE_SCENES=1 cargo test -p interrex-cluster`
//! rewrites what is expected: change it only when you can say why it changed.

mod world;

use std::path::Path;
use world::World;

/// Plays one file and compares every outcome.
fn play(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    let mut world = World::default();
    let mut played = String::new();
    let mut outcome = String::new();
    let mut expecting = false;
    for line in text.lines() {
        match (expecting, line) {
            (false, "----") => {
                played.push_str("----\n");
                played.push_str(&std::mem::take(&mut outcome));
                expecting = true;
            }
            (true, "") => {
                played.push('\n');
                expecting = false;
            }
            (true, _) => {}
            (false, line) => {
                played.push_str(line);
                played.push('\n');
                if !line.is_empty() && !line.starts_with('#') {
                    outcome.push_str(&world.act(line));
                }
            }
        }
    }
    if std::env::var_os("UPDATE_SCENES").is_some() {
        std::fs::write(&path, played).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
        return;
    }
    assert_eq!(played, text, "{name} plays differently; see scenarios/mod.rs for how to accept a change");
}

macro_rules! scenes {
    ($($(#[$doc:meta])* $name:ident => $file:literal;)*) => {
        $($(#[$doc])* #[test] fn $name() { play($file); })*
    };
}

scenes! {
    the_primary_s_machine_dies => "failover.txt";
    standbys_at_different_positions => "positions.txt";
    too_few_seals_name_who_is_missing => "seals_missing.txt";
    the_old_primary_is_back_before_the_election => "old_primary_back.txt";
    the_candidate_dies_after_its_grant => "candidate_dies.txt";
    a_planned_change_of_primary => "switchover.txt";
    a_crashed_primary_is_restarted_by_way_of_a_new_epoch => "restart.txt";
    a_paused_cluster_begins_nothing => "pause.txt";
    what_an_operator_asks_of_one_instance => "maintenance.txt";
    what_an_operator_wants_of_the_cluster => "set.txt";
    silence_is_not_death => "silence.txt";
    a_copy_that_is_not_whole_does_not_count => "not_whole.txt";
    a_copy_that_the_rule_asks_for_is_rebuilt_before_it_is_proved => "rule_needs_the_copy.txt";
    asynchronous_commits_wait_for_the_lease => "asynchronous.txt";
    what_a_failover_would_do_and_lose => "preview.txt";
    preferences_only_break_ties => "preferences.txt";
    nobody_left_to_acknowledge => "alone.txt";
    a_new_cluster_comes_to_be => "bootstrap.txt";
    an_existing_postgresql_is_taken_in => "adopt.txt";
    what_does_not_fit_together_is_not_taken_in => "adopt_refused.txt";
    everything_was_off => "total_outage.txt";
    a_promotion_by_hand_is_no_reign => "rogue_promotion.txt";
    a_primary_cut_off_from_two_standbys_is_failed_over => "cut_off.txt";
    a_copy_that_was_rolled_back_counts_for_nothing => "rolled_back.txt";
    a_record_that_lost_entries_decides_nothing => "record_behind.txt";
    old_commands_change_nothing => "old_commands.txt";
}
