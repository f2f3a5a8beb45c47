//! luavortex
