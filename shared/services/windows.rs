//! Which windows does an event open or end? What is due? Who works on it?
//!
//! A window changes in one transaction with the events that tell of it, and only from the generation that was read. What says which
//! window of an account or of a session is open are items of their own, made and removed with it. So are the lists of the windows that
//! are not closed, one of overdue ones and one of the others: closed windows stay for years, and nobody who asks for the others reads past them.
//!
//! - `recording`: an event that opens or ends windows, recorded with its windows
//! - `opening`: the window that an event opens; `booking`: those whose start is far ahead; `earlier_end`: an end that came first
//! - `ending`: the windows that an event ends; `session_end`: the end of a session
//! - `step`: the next state of a window, with the items that find it; `lookup`: a window by id, account, name or session
//! - `live_windows`: the lists of windows that are not closed; `due_queue`: what is due, over all tenants

mod booking;
mod due_queue;
mod earlier_end;
mod ending;
mod live_windows;
mod lookup;
mod opening;
mod recording;
mod session_end;
mod step;
mod target_application;

pub use booking::{OpeningCause, open_booking};
pub use due_queue::{DuePlace, due, due_bookings, remember, swept, swept_at, take_from, tenants};
pub use live_windows::{LiveWindows, OF_A_LIST, has_all_listed, list_windows, live_windows};
pub use lookup::{
    open_window_of, open_windows, open_windows_called, open_windows_of, window, windows,
    windows_by_id, windows_of,
};
pub use recording::{Recording, record};
pub use step::{STATEMENTS, Step, Stored, advance, change_window, merge};
pub use target_application::{application_of, applications};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
