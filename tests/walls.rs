//! The walls of the house, held by `cargo test`: who may import whom, which words stay in which room, what
//! may come in from outside, and that every dependency is argued for.
//!
//! Each wall is a function from plain values to lines that say what to do; each is shown here to stand on
//! the house as it is, and to fall on a made-up breach. docs/dependencies.md and deny.toml are read, not
//! repeated.

#[path = "walls/house.rs"]
mod house;
#[path = "walls/imports.rs"]
mod imports;
#[path = "walls/logs.rs"]
mod logs;
#[path = "walls/mutants.rs"]
mod mutants;
#[path = "walls/protocol.rs"]
mod protocol;
#[path = "walls/supply.rs"]
mod supply;
#[path = "walls/words.rs"]
mod words;

use house::House;

/// Fails with all lines at once.
fn stands(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn every_crate_imports_only_what_it_may() {
    stands(imports::breaches(&House::read().imports()));
}

#[test]
fn no_shipped_build_has_mutants() {
    stands(mutants::breaches(&House::read().features()));
}

#[test]
fn words_stay_in_their_rooms() {
    stands(words::breaches(&house::sources()));
}

#[test]
fn what_another_program_may_embed_leaves_the_process_alone() {
    stands(words::of_the_process(&house::sources()));
}

#[test]
fn every_rpc_message_and_field_of_the_wire_is_documented() {
    let files = house::files("proto", ".proto");
    let glossary = protocol::glossary(&house::text("proto/types.proto"));
    assert!(glossary.contains("epoch"), "{glossary:?}");
    stands(protocol::undocumented(&files, &glossary));
}

#[test]
fn one_thing_has_one_name_in_every_line_of_the_log() {
    let words = logs::words(&house::text("docs/logs.md"));
    assert!(words.contains("machine"), "{words:?}");
    stands(logs::breaches(&house::sources(), &words));
}

#[test]
fn every_file_opens_with_its_door_plate() {
    stands(words::without_door_plate(&house::sources()));
}

#[test]
fn every_licence_is_allowed() {
    let allowed = house::listed("deny.toml", "[licenses]", "allow");
    stands(supply::licences(&House::read().licences(), &allowed));
}

#[test]
fn nothing_banned_and_nothing_from_elsewhere_comes_in() {
    let banned = house::listed("deny.toml", "[bans]", "crate");
    let house = House::read();
    stands(supply::banned(&house.names(), &banned));
    stands(supply::sources(&house.origins()));
}

#[test]
fn every_dependency_is_argued_for() {
    stands(supply::argued(&House::read().direct(), &house::text("docs/dependencies.md")));
}
