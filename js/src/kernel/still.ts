/**
 * Hides the still picture that was saved beside the widget while a live view is there, also where it
 * arrives after the view; returns what shows it again.
 */
export function hideStill(name: string): () => void {
  const still = `[data-explain-widgets-still="${CSS.escape(name)}"]`;
  const style = document.createElement("style");
  // The second selector is JupyterLab's output around it, whose padding would stay.
  style.textContent = `${still}, .jp-OutputArea-child:has(${still}) { display: none !important; }`;
  document.head.append(style);
  return () => style.remove();
}
