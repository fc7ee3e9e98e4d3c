//! Which reviews are there? What is in them, and who decided what?
//!
//! A review is one item of the state table, and each of its items another, so that there may be many. Whatever people change goes through the
//! review's generation: a decision, its event and the count of decisions are one transaction, and a sign-off knows every decision before it.
//!
//! Items are gathered before the review is opened, into a place of their own that the review names when all are there. Whoever was killed over it
//! leaves a place that nothing names, and the next begins with another.

mod create;
mod decide;
mod list;
mod sign_off;
mod step;

pub use create::{Opened, fill_review, open_review};
pub use decide::{Outcome, decide_review, no_reviewer};
pub use list::{review, review_items, reviews, shown_items};
pub use sign_off::{Ended, look_at_review, sign_off_review};
