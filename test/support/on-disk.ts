import { existsSync, readFileSync } from 'node:fs'

/** The files of an SQLite database that have the text anywhere in them. */
export function onDisk(file: string, text: string): string[] {
  return ['', '-wal', '-shm', '-journal']
    .map((ending) => file + ending)
    .filter((path) => existsSync(path) && readFileSync(path).includes(text))
}
