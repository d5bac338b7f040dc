//! The planner against figures published for ARES.
