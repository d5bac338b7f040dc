//! The device files inside this program, and the traces that they name.

macro_rules! inside {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../devices/", $name)))),*] };
}

/// Device files by name.
pub(super) const SHIPPED: &[(&str, &str)] = inside![
    "ares.toml",
    "ares_modes.toml",
    "ares_outage.toml",
    "ares_pair.toml",
    "ares_wifi.toml",
    "edge_cloud.toml",
    "greenai.toml",
    "mec.toml",
    "mec_changing.toml",
];

/// Traces by the path that a device file gives.
pub(super) const TRACES: &[(&str, &str)] = inside![
    "traces/outage.csv",
    "traces/track_1.csv",
    "traces/track_2.csv",
    "traces/track_3.csv",
    "traces/track_4.csv",
    "traces/wifi_1.csv",
    "traces/wifi_2.csv",
    "traces/wifi_3.csv",
    "traces/wifi_4.csv",
    "traces/wifi_5.csv",
];
