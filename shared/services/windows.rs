//! Access windows: opening, ending, and the queue of due windows.
//!
//! A window is changed in one transaction with its events, on condition of the generation that was
//! read. Separate items point to the open window of an account or session; they are written and
//! deleted with it. Windows that are not closed are also in lists, one for overdue windows and one
//! for the others: closed windows are stored for years, and a search for open ones must not read
//! them.
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

pub use booking::{OpeningCause, open_booking};
pub use due_queue::{DuePlace, due, due_bookings, remember, swept, swept_at, take_from, tenants};
pub use live_windows::{LiveWindows, OF_A_LIST, has_all_listed, list_windows, live_windows};
pub use lookup::{
    open_window_of, open_windows, open_windows_called, open_windows_of, window, windows,
    windows_by_id, windows_of,
};
pub use recording::{Recording, record};
pub use step::{STATEMENTS, Stored, WindowChange, advance, change_window, merge};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
