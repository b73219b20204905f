import { readFileSync, statSync } from 'node:fs'

/** Byte of the -shm file that SQLite locks while writing: WAL_WRITE_LOCK, https://sqlite.org/walformat.html#locks */
const writeLockByte = 120

/**
 * Who holds the write lock now, read from the kernel's lock list (Linux). The file itself is not opened: closing it
 * would drop this process's own locks on it.
 */
export function writeLockHolder(file: string): { readonly pid: number } | null {
  try {
    const { ino } = statSync(`${file}-shm`)
    for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
      const [, kind, , mode, pid, place, start, end] = line.replace('-> ', '').trim().split(/\s+/)
      if (kind !== 'POSIX' || mode !== 'WRITE' || place === undefined) continue
      if (Number(place.split(':')[2]) !== ino) continue
      if (Number(start) <= writeLockByte && (end === 'EOF' || Number(end) >= writeLockByte)) return { pid: Number(pid) }
    }
  } catch {
    // Not a system that tells.
  }
  return null
}
