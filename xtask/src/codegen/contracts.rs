//! The contracts in Rust: messages, their JSON, and the descriptors that they come from.

mod json;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use prost_build::{Config, Module};
use protox::Compiler;
use protox::prost::Message;
use protox::prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};

use super::Generated;
use crate::workspace;

const CRATE: &str = "crates/cqi-contracts";

/// Everything that the crate has of its `.proto` files.
pub(super) fn files() -> Result<Vec<Generated>> {
    let root = workspace::root().join(CRATE);
    let descriptors = compile(&root)?;
    let mut files = messages(descriptors.file.clone())?;
    files.push(Generated {
        path: format!("{CRATE}/src/json/messages.rs"),
        content: rustfmt(&json::tables(&descriptors)?)?.into_bytes(),
    });
    files.push(Generated {
        path: format!("{CRATE}/src/descriptors.binpb"),
        content: without_comments(descriptors).encode_to_vec(),
    });
    Ok(files)
}

/// Compiles what is under `proto/`, and what that imports.
fn compile(root: &Path) -> Result<FileDescriptorSet> {
    let mut sources = Vec::new();
    find(&root.join("proto"), &mut sources)?;
    sources.sort();
    let mut compiler = Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(sources)?;
    Ok(compiler.file_descriptor_set())
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, found)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            found.push(path);
        }
    }
    Ok(())
}

/// One module for each package: `cqc.events.v1` is `src/events/v1.rs`.
fn messages(files: Vec<FileDescriptorProto>) -> Result<Vec<Generated>> {
    let requests = files
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let mut modules: Vec<_> = Config::new()
        .enable_type_names()
        // What every other implementation writes into an `Any`.
        .type_name_domain(["."], "type.googleapis.com")
        .generate(requests)?
        .into_iter()
        .collect();
    modules.sort();
    modules
        .into_iter()
        .map(|(module, code)| {
            let path: Vec<_> = module.parts().skip(1).collect();
            Ok(Generated {
                path: format!("{CRATE}/src/{}.rs", path.join("/")),
                content: rustfmt(&code)?.into_bytes(),
            })
        })
        .collect()
}

/// Comments are for readers of the source; a program has no use for them.
fn without_comments(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

/// What `cargo fmt` would leave as it is.
fn rustfmt(code: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt")?;
    let mut input = child.stdin.take().context("rustfmt has no input")?;
    // rustfmt reads all of its input before it writes.
    input.write_all(code.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "rustfmt refuses the generated code"
    );
    Ok(String::from_utf8(output.stdout)?)
}
