//! The descriptors against the contract, in the contract's own notation.

use std::collections::BTreeSet;
use std::fmt::Write;

use cqi_contracts::FILE_DESCRIPTOR_SET;
use cqi_contracts::prost::Message;
use cqi_contracts::prost_types::field_descriptor_proto::{Label, Type};
use cqi_contracts::prost_types::{FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::kinds;

const CONTRACT: &str = include_str!("../data/cqc-wire.tsv");

fn own_files() -> Vec<FileDescriptorProto> {
    let mut files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    files.retain(|file| file.package().starts_with("cqc."));
    files.sort_by(|a, b| a.name().cmp(b.name()));
    files
}

fn render(file: &FileDescriptorProto) -> String {
    let package = file.package();
    let imports = file.dependency.join(", ");
    let mut text = format!(
        "file {}  package {package}  imports {imports}\n",
        file.name()
    );
    for enumeration in &file.enum_type {
        writeln!(text, "enum {package}.{}", enumeration.name()).unwrap();
        for value in &enumeration.value {
            writeln!(text, "  {}\t{}", value.number(), value.name()).unwrap();
        }
    }
    for message in &file.message_type {
        writeln!(text, "message {package}.{}", message.name()).unwrap();
        for field in &message.field {
            let (number, label) = (field.number(), label(field));
            writeln!(
                text,
                "  {number}\t{label}\t{}\t{}",
                kind(field),
                field.name()
            )
            .unwrap();
        }
    }
    text
}

fn label(field: &FieldDescriptorProto) -> &'static str {
    match field.label() {
        Label::Optional => "optional",
        Label::Repeated => "repeated",
        Label::Required => "required",
    }
}

fn kind(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

#[test]
fn the_descriptors_are_the_contract() {
    let ours = own_files()
        .iter()
        .map(render)
        .collect::<Vec<_>>()
        .join("\n");
    for (ours, contract) in ours.lines().zip(CONTRACT.lines()) {
        assert_eq!(ours, contract);
    }
    assert_eq!(ours.trim_end(), CONTRACT.trim_end());
}

#[test]
fn the_contract_has_29_messages_and_12_enums() {
    let count = |what: &str| {
        CONTRACT
            .lines()
            .filter(|line| line.starts_with(what))
            .count()
    };
    assert_eq!((count("message "), count("enum ")), (29, 12));
}

/// Under proto3 a field without `optional` would be optional in the contract's notation too, and yet lose its zeros.
#[test]
fn every_single_field_has_explicit_presence() {
    for file in own_files() {
        assert_eq!(file.syntax(), "proto3");
        for message in &file.message_type {
            for field in message
                .field
                .iter()
                .filter(|field| label(field) == "optional")
            {
                assert!(
                    field.proto3_optional(),
                    "{}.{}",
                    message.name(),
                    field.name()
                );
            }
        }
    }
}

#[test]
fn every_message_of_the_descriptors_has_a_rust_type_of_that_name() {
    let described: BTreeSet<_> = own_files()
        .iter()
        .flat_map(|file| {
            let name = |message: &str| format!("{}.{message}", file.package());
            file.message_type
                .iter()
                .map(move |message| name(message.name()))
        })
        .collect();
    let ours: BTreeSet<_> = kinds::all().into_iter().map(|kind| kind.name).collect();
    assert_eq!(ours, described);
}

#[test]
fn every_value_of_every_enum_has_its_name_and_number_in_rust() {
    let mut ours = kinds::enums();
    for file in own_files() {
        for enumeration in &file.enum_type {
            let name = format!("{}.{}", file.package(), enumeration.name());
            let place = ours.iter().position(|ours| ours.name == name);
            let ours = ours.swap_remove(place.unwrap_or_else(|| panic!("no {name}")));
            for value in &enumeration.value {
                assert_eq!((ours.name_of)(value.number()), Some(value.name()));
                assert_eq!((ours.number_of)(value.name()), Some(value.number()));
            }
            let beyond = i32::try_from(enumeration.value.len()).unwrap();
            assert_eq!((ours.name_of)(beyond), None, "{name}");
            assert_eq!((ours.number_of)(enumeration.name()), None);
        }
    }
    assert!(ours.is_empty());
}

#[test]
fn imports_are_in_the_set_before_who_imports_them() {
    let mut seen = BTreeSet::new();
    for file in FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file {
        for import in &file.dependency {
            assert!(seen.contains(import), "{} needs {import}", file.name());
        }
        seen.insert(file.name().to_owned());
    }
}
