// How a page looks: the contrast of each text that can be seen with what is behind it (WCAG 2.2, 1.4.3).
() => {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const light = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    return over(channels(getComputedStyle(element).backgroundColor), ground(element.parentElement));
  };
  const ratio = (element, style = getComputedStyle(element)) => {
    const behind = ground(element);
    const [a, b] = [luminance(over(channels(style.color), behind)), luminance(behind)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const holdsText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const shown = [...document.body.querySelectorAll("*")].filter(
    (element) => element.checkVisibility({ visibilityProperty: true }) && !element.matches(":disabled, :disabled *"),
  );
  const texts = shown.filter((element) => holdsText(element) || element.matches("input, textarea, select"));
  return texts.map((element) => [element.id || element.tagName, Math.round(ratio(element) * 100) / 100]);
}
