//! Medians, and the table of results.

use std::time::{Duration, Instant};

/// What was measured, to be printed as a table at the end, and as it comes.
#[derive(Default)]
pub struct Report(Vec<[String; 5]>);

impl Report {
    /// Ours beside something else. `ratio` is what the target is about.
    pub fn compare(&mut self, what: &str, ours: String, other: String, ratio: f64, target: &str) {
        self.add([what.into(), ours, other, format!("{ratio:.2}"), target.into()]);
    }

    /// Ours beside something else, where no ratio says more.
    pub fn beside(&mut self, what: &str, ours: String, other: String, target: &str) {
        self.add([what.into(), ours, other, String::new(), target.into()]);
    }

    /// A figure that stands alone.
    pub fn note(&mut self, what: &str, ours: String, target: &str) {
        self.add([what.into(), ours, String::new(), String::new(), target.into()]);
    }

    fn add(&mut self, row: [String; 5]) {
        println!("{}", row.join(" | "));
        self.0.push(row);
    }

    /// The table in Markdown.
    pub fn print(&self) {
        println!("\n| what | ours | beside it | ratio | target |\n|---|---|---|---|---|");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// The value in the middle.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value below which `part` of all lie.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// Seconds that something took.
pub async fn seconds(work: impl Future<Output = ()>) -> f64 {
    let begun = Instant::now();
    work.await;
    begun.elapsed().as_secs_f64()
}

/// Does one and the other in turn, so that both see the same machine; the median seconds of each. The first round of each only
/// warms up.
pub async fn in_turn(
    rounds: usize,
    mut one: impl AsyncFnMut(usize),
    mut other: impl AsyncFnMut(usize),
) -> (f64, f64) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        ones.push(seconds(one(round)).await);
        others.push(seconds(other(round)).await);
    }
    (median(&mut ones[1..]), median(&mut others[1..]))
}

/// A time for people.
pub fn shown(seconds: f64) -> String {
    let duration = Duration::from_secs_f64(seconds);
    match duration.as_micros() {
        0..1000 => format!("{:.1} µs", seconds * 1e6),
        1000..1_000_000 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}
