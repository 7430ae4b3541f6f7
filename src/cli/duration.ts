/** `0.4 s`, `12.3 s`, `2 min 5 s`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 59_950) return `${(durationMs / 1000).toFixed(1)} s`
  const seconds = Math.round(durationMs / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** `512 B`, `3.4 MB`, `1.2 GB`, in powers of 1000. */
export function formatBytes(sizeBytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let size = sizeBytes
  let unit = 0
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit++
  }
  return unit === 0 ? `${size} B` : `${size.toFixed(1)} ${units[unit] ?? ''}`
}
