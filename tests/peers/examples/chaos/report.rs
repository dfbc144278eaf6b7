//! What a run has shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug)]
#[must_use]
pub struct Report {
    title: String,
    facts: Vec<String>,
    wrongs: Vec<String>,
    kept: Option<PathBuf>,
}

/// Of each kind of problem, so many are shown.
const SHOWN: usize = 40;

impl Report {
    pub fn new(title: String) -> Self {
        Self {
            title,
            facts: Vec::new(),
            wrongs: Vec::new(),
            kept: None,
        }
    }

    pub fn say(&mut self, fact: String) {
        self.facts.push(fact);
    }

    pub fn wrong(&mut self, problem: String) {
        self.wrongs.push(problem);
    }

    /// Removes the journals, unless something is wrong.
    pub fn keep(&mut self, folder: &Path) {
        if self.wrongs.is_empty() {
            std::fs::remove_dir_all(folder).expect("removed");
        } else {
            self.kept = Some(folder.to_owned());
        }
    }

    /// Prints all; says whether all is well.
    pub fn print(&self) -> bool {
        println!("\n## {}", self.title);
        self.facts.iter().for_each(|fact| println!("  {fact}"));
        for problem in self.wrongs.iter().take(SHOWN) {
            println!("  WRONG: {problem}");
        }
        if let Some(folder) = &self.kept {
            println!(
                "  {} problems; the journals are in {}",
                self.wrongs.len(),
                folder.display()
            );
        }
        self.wrongs.is_empty()
    }
}

pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
