// What this device keeps over a reload and over a loss of power, in localStorage. Every name stands for one value that is
// written whole, so that two tabs never write half of each other's.

const PREFIX = 'stellwerk.work.';

export function read(name, otherwise = null) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise; // not ours, or the browser keeps nothing: as if it were not there
  }
}

/** Keep a value. False where the device has no room or keeps nothing: then it is not kept. */
export function write(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function forget(name) {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // The browser keeps nothing, so there is nothing to forget.
  }
}

/** Names that begin with `start`, in order. */
export function names(start) {
  const found = [];
  try {
    for (let at = 0; at < localStorage.length; at += 1) {
      const name = localStorage.key(at);
      if (name.startsWith(PREFIX + start)) found.push(name.slice(PREFIX.length));
    }
  } catch {
    return [];
  }
  return found.sort();
}
