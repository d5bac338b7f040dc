#!/usr/bin/env python3
"""Makes devices/traces/*.csv: synthetic bandwidths for the shipped testbeds whose conditions change.

Why: nobody published the links of the testbed over time, and a planner that chooses its cuts again every round has to be
tried where the conditions change. These traces are made up. What they are made of is said here, and in the source field of
each link in devices/ares_wifi.toml, devices/ares_outage.toml and devices/mec_changing.toml.

    python3 tools/make_traces.py

wifi_K (K = 1..5, one a device)   every 30 s a value between 5 and 100 Mbit/s: a drift (a random walk in the logarithm that
                                  is drawn back to its level) and, about three times an hour, a step to another level, as
                                  when somebody carries the board into the next room
outage                            60 Mbit/s with outages of 10 to 30 s, about three an hour, and half an hour in which the
                                  cell is crowded: it fades to 30 and to 15 Mbit/s, and comes back likewise
track_K (K = 1..4, one a server)  every 2 s the Wi-Fi of a car that drives a round track of 120 s, past four access points
                                  of which each belongs to an edge server: 60 Mbit/s beside one, 1.5 Mbit/s opposite to it

Every random number comes from the generator below, so that the files change only when this script does. A trace ends
(after 7200 s, a track's after 120 s) with the value that it began with: the device files let it repeat.
"""

import math
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "devices" / "traces"
LENGTH, STEP = 7200, 30


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def below_one(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        word = self.state
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        return ((word ^ (word >> 31)) >> 11) / 2**53

    def between(self, low, high):
        return low + (high - low) * self.below_one()


def wifi(seed):
    random = Random(seed)
    low, high = math.log(5), math.log(100)
    level = random.between(low, high)
    value, rows = level, []
    left = random.between(600, 1800)
    for time in range(0, LENGTH, STEP):
        left -= STEP
        if left <= 0:
            level, left = random.between(low, high), random.between(600, 1800)
            value = level
        value += 0.1 * (level - value) + random.between(-0.08, 0.08)
        value = min(max(value, low), high)
        rows.append((time, round(math.exp(value), 1)))
    return rows


FADES = [(2400, 30), (2580, 15), (4200, 30), (4380, 60)]


def outage(seed):
    random = Random(seed)
    rows, time = [(0, 60)], 0
    while True:
        begin = time + round(random.between(900, 1500))
        end = begin + round(random.between(10, 30))
        if end >= LENGTH:
            break
        if end < FADES[0][0] or begin > FADES[-1][0]:
            rows += [(begin, 0), (end, 60)]
        time = end
    return sorted(rows + FADES)


TRACK = 120


def track(point):
    rows = []
    for time in range(0, TRACK, 2):
        apart = abs(time / TRACK - point / 4 - 0.125) % 1
        apart = min(apart, 1 - apart)
        rows.append((time, round(max(60 * math.exp(-((apart / 0.13) ** 2)), 1.5), 1)))
    return rows


def write(name, rows, length=LENGTH):
    rows = [row for at, row in enumerate(rows) if at == 0 or row[1] != rows[at - 1][1]]
    rows.append((length, rows[0][1]))
    text = "time_s,mbit_per_s\n" + "".join(f"{time},{mbit:g}\n" for time, mbit in rows)
    (FOLDER / f"{name}.csv").write_text(text)


def main():
    FOLDER.mkdir(exist_ok=True)
    for device in range(1, 6):
        write(f"wifi_{device}", wifi(device))
    write("outage", outage(7))
    for server in range(1, 5):
        write(f"track_{server}", track(server - 1), TRACK)


main()
