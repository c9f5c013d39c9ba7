"use strict";

/** Checks the serial numbers of what arrives: whether any is missing, or comes twice. */
class Tally {
  constructor() {
    this.received = 0;
    this.lost = 0;
    this.repeated = 0;
    this.reconnects = 0;
    this.last = 0;
    this.expected = new Map();
  }

  /** Takes note of what the page was rendered with; what follows has to go on from there. */
  begin({ run, serial }) {
    this.last = serial;
    this.expect(run, serial + 1);
  }

  /** Takes note of an event. Returns whether it is new. */
  note({ run, serial }) {
    this.received += 1;
    const expected = this.expected.get(run) ?? serial;
    if (serial < expected) {
      this.repeated += 1;
      return false;
    }
    this.lost += serial - expected;
    this.last = serial;
    this.expect(run, serial + 1);
    return true;
  }

  /** Expects nothing any more: the server has said itself that events are gone. */
  forget() {
    this.expected.clear();
  }

  expect(run, serial) {
    // A server that was started anew counts from 1 again, under another name.
    this.expected.delete(run);
    this.expected.set(run, serial);
    if (this.expected.size > 20) this.expected.delete(this.expected.keys().next().value);
  }
}
