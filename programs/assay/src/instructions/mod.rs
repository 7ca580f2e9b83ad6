//! One instruction a file, in the order of the flow: accounts, validate, handler.
#![allow(ambiguous_glob_reexports)] // every file has its `handler`; they are called by path

pub mod initialize_market;
pub mod register;

pub use initialize_market::*;
pub use register::*;
