use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// Reads a text file of limited size.
///
/// # Errors
/// What is wrong with it, to complete "config.yaml: ".
pub(super) fn read(path: &Path, max_size: u64) -> Result<String, String> {
    let cannot = |error: std::io::Error| match std::env::current_dir() {
        Ok(folder) if path.is_relative() && error.kind() == ErrorKind::NotFound => {
            let folder = folder.display();
            format!("cannot be read: {error}; the working folder is {folder}")
        }
        _ => format!("cannot be read: {error}"),
    };
    if path.as_os_str().is_empty() {
        return Err("cannot be read: its path is empty".to_owned());
    }
    // Opening a pipe may wait for ever, reading a device never end.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(max_size + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > max_size {
        let max_size = crate::HumanSize::format(max_size);
        return Err(format!("is too large: at most {max_size} are read"));
    }
    // The error of a String holds the bytes, which may be a secret.
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "is not UTF-8 text: byte {} is wrong",
            error.utf8_error().valid_up_to()
        )
    })
}
