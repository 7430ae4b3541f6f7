/** Renders templates/<name>.hbs, strictly: undefined anywhere in the view is an error. */
export interface Renderer {
  /** Text for a machine. `name` without .hbs: `containerd/config.toml`. Throws TypeError naming the missing value's path. */
  render(name: string, view: Readonly<Record<string, unknown>>): string
}
