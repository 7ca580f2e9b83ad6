//! Accounts. Zero-copy, without padding, so that a field-by-field little-endian reader sees the same bytes.

mod dispute;
mod market;
mod offence;
mod params;
mod participant;
mod request;
mod validator_set;

pub use dispute::*;
pub use market::*;
pub use offence::*;
pub use params::*;
pub use participant::*;
pub use request::*;
pub use validator_set::*;
