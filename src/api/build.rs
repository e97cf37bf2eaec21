//! Generates the gRPC code from every file in proto/ with protox, so that no protoc is needed on the machine.
//! The descriptor set is written beside it, for the reflection service.

use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let proto_dir = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", proto_dir.display());

    let mut files: Vec<PathBuf> = fs::read_dir(&proto_dir)
        .map_err(|e| format!("read {}: {e}", proto_dir.display()))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ext| ext == "proto"));
    // The order of a directory is the file system's; the generated code must not depend on it.
    files.sort();

    let descriptors = protox::compile(&files, [&proto_dir])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("interrex.v1.bin"), descriptors.encode_to_vec())?;
    // These hold passwords: src/api/redact.rs prints them.
    let secret = ["Secrets", "Owner", "CreateClusterRequest", "ConnectionInfoReply"];
    let secret = secret.map(|message| format!(".interrex.v1.{message}"));
    // In order, so that the same value always gives the same bytes.
    tonic_prost_build::configure().skip_debug(secret).btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
