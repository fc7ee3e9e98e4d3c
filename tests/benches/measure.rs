//! Medians, and the table of results.

use std::time::{Duration, Instant};

/// The measurements, printed at once and as a table at the end.
#[derive(Default)]
pub struct Report(Vec<[String; 5]>);

impl Report {
    /// A comparison with an alternative. The target is a `ratio`.
    pub fn compare(&mut self, what: &str, ours: String, other: String, ratio: f64, target: &str) {
        self.add([what.into(), ours, other, format!("{ratio:.2}"), target.into()]);
    }

    /// A comparison without a ratio.
    pub fn beside(&mut self, what: &str, ours: String, other: String, target: &str) {
        self.add([what.into(), ours, other, String::new(), target.into()]);
    }

    /// A figure without a comparison.
    pub fn note(&mut self, what: &str, ours: String, target: &str) {
        self.add([what.into(), ours, String::new(), String::new(), target.into()]);
    }

    fn add(&mut self, row: [String; 5]) {
        println!("{}", row.join(" | "));
        self.0.push(row);
    }

    /// Prints the table in Markdown.
    pub fn print(&self) {
        println!("\n| what | ours | beside it | ratio | target |\n|---|---|---|---|---|");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// The median.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The quantile `part`.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// The duration of some work in seconds.
pub async fn seconds(work: impl Future<Output = ()>) -> f64 {
    let begun = Instant::now();
    work.await;
    begun.elapsed().as_secs_f64()
}

/// Runs both alternately, so that the machine has the same load for both, and returns the median seconds of each. The first round
/// is a warm-up.
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

/// A duration as text.
pub fn shown(seconds: f64) -> String {
    let duration = Duration::from_secs_f64(seconds);
    match duration.as_micros() {
        0..1000 => format!("{:.1} µs", seconds * 1e6),
        1000..1_000_000 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}
