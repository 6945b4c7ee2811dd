//! What is printed as it comes, and kept: the figures as JSON, the targets as a table at the end.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

/// Everything that was found out.
#[derive(Default)]
pub(crate) struct Report {
    figures: Vec<Value>,
    targets: Vec<Target>,
}

/// What a target asks of its figure.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

struct Target {
    name: String,
    bound: Bound,
    reached: f64,
    unit: &'static str,
}

impl Bound {
    fn holds(self, reached: f64) -> bool {
        match self {
            Self::AtLeast(bound) => reached >= bound,
            Self::AtMost(bound) => reached <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

impl Report {
    pub(crate) fn part(&self, title: &str) {
        println!("\n{title}");
    }

    /// One number.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str) {
        println!("{name:<66} {value:>12.2} {unit}");
        self.keep(json!({ "name": name, "value": value, "unit": unit }));
    }

    /// What is printed elsewhere.
    pub(crate) fn keep(&mut self, figure: Value) {
        self.figures.push(figure);
    }

    /// What the issue asks for, and what came of it.
    pub(crate) fn target(&mut self, name: &str, bound: Bound, reached: f64, unit: &'static str) {
        self.targets.push(Target {
            name: name.to_owned(),
            bound,
            reached,
            unit,
        });
    }

    /// The table of targets.
    pub(crate) fn show_targets(&self) {
        self.part("targets, from this run");
        for target in &self.targets {
            println!(
                "{:<74} {:>9} {:>9.2} {:<7} {}",
                target.name,
                target.bound.to_string(),
                target.reached,
                target.unit,
                if target.bound.holds(target.reached) {
                    "met"
                } else {
                    "NOT MET"
                }
            );
        }
    }

    /// All of it as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let targets: Vec<_> = self
            .targets
            .iter()
            .map(|target| {
                json!({
                    "name": target.name,
                    "target": target.bound.to_string(),
                    "reached": target.reached,
                    "unit": target.unit,
                    "met": target.bound.holds(target.reached),
                })
            })
            .collect();
        let all = json!({ "figures": self.figures, "targets": targets });
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
        Ok(())
    }
}
