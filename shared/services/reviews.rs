//! Access reviews: their items, decisions and sign-off, and plans that open them.
//!
//! A review is one item of the state table, and each of its items is a separate one, so that a
//! review may have many. Every change by a person checks the review's generation: a decision, its
//! event and the count of decisions are one transaction, and a sign-off includes every earlier
//! decision.
//!
//! Before a review is opened, its items are collected in a partition of their own. The review
//! refers to that partition once it is complete. If a run stops before, its partition remains
//! unused and the next run starts another one.

mod create;
mod decide;
mod list;
mod plans;
mod sign_off;
mod step;

pub use create::{Opened, fill_review, open_review};
pub use decide::{DecisionOutcome, decide_review, no_reviewer};
pub use list::{review, review_items, reviews, shown_items};
pub use plans::open_planned;
pub use sign_off::{Ended, look_at_review, sign_off_review};
