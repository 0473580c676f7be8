// The loss of two weights, and what the theory says of a cut. Nothing is drawn in here.
// Around its minimum the loss is f(u) + f(v): u along the first axis of the valley, which is turned by `angle` from the
// axis of weight 1, v along the second. So the Hessian is diagonal in (u, v), and all that follows has a closed form.
const STEEP = 1.6, LEVEL = 0.5, WALL = 0.55, PUSH = 2.2;  // where each shape leaves the parabola, and how hard the wall is

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const softplus = (z, beta) => (Math.max(0, beta * z) + Math.log1p(Math.exp(-Math.abs(beta * z)))) / beta;

// value, slope and curvature of f at x, where the curvature at 0 is l; `peak`: the |x| at which it is largest
export const SHAPES = {
  bowl: {
    value: (x, l) => l * x * x / 2,
    slope: (x, l) => l * x,
    curvature: (x, l) => l,
    peak: 0,
  },
  steepens: {
    value: (x, l) => l * (x * x / 2 + x ** 4 / (4 * STEEP ** 2)),
    slope: (x, l) => l * (x + x ** 3 / STEEP ** 2),
    curvature: (x, l) => l * (1 + 3 * x * x / STEEP ** 2),
    peak: Infinity,
  },
  levels: {
    value: (x, l) => l * LEVEL ** 2 * (Math.hypot(1, x / LEVEL) - 1),
    slope: (x, l) => l * x / Math.hypot(1, x / LEVEL),
    curvature: (x, l) => l / Math.hypot(1, x / LEVEL) ** 3,
    peak: 0,
  },
  bends: {  // a unit that is silent at the minimum wakes beyond the wall: by softplus, less its tangent at 0
    value: (x, l, beta) => l * x * x / 2 + PUSH * (softplus(Math.abs(x) - WALL, beta) - softplus(-WALL, beta)
      - Math.abs(x) * sigmoid(-beta * WALL)),
    slope: (x, l, beta) => l * x + PUSH * Math.sign(x) * (sigmoid(beta * (Math.abs(x) - WALL)) - sigmoid(-beta * WALL)),
    curvature: (x, l, beta) => {
      const s = sigmoid(beta * (Math.abs(x) - WALL));
      return l + PUSH * beta * s * (1 - s);
    },
    peak: WALL,
  },
  breaks: {  // the same by ReLU: what the Hessian says everywhere but on the kink
    value: (x, l) => l * x * x / 2 + PUSH * Math.max(0, Math.abs(x) - WALL),
    slope: (x, l) => l * x + (Math.abs(x) > WALL ? PUSH * Math.sign(x) : 0),
    curvature: (x, l) => l,
    peak: 0,
  },
};

// Gauss-Legendre on [0, 1] with 4 nodes, as the library has it
const NODES = [[0.0694318442029737, 0.1739274225687269], [0.3300094782075719, 0.3260725774312731],
  [0.6699905217924281, 0.3260725774312731], [0.9305681557970263, 0.1739274225687269]];

const add = (p, q, a = 1) => [p[0] + a * q[0], p[1] + a * q[1]];
const dot = (p, q) => p[0] * q[0] + p[1] * q[1];

// What lies between the minimum and a point, along the axes of the valley; and back.
function inValley(valley, step) {
  const [cos, sin] = [Math.cos(valley.angle), Math.sin(valley.angle)];
  return [cos * step[0] + sin * step[1], -sin * step[0] + cos * step[1]];
}

export function outOfValley(valley, [u, v]) {
  const [cos, sin] = [Math.cos(valley.angle), Math.sin(valley.angle)];
  return [cos * u - sin * v, sin * u + cos * v];
}

const lambdas = (valley) => [valley.sharp, valley.flat];
const from = (valley, point) => inValley(valley, add(point, valley.minimum, -1));

export function loss(valley, point) {
  const f = SHAPES[valley.shape];
  const x = from(valley, point);
  return lambdas(valley).reduce((sum, l, i) => sum + f.value(x[i], l, valley.beta), 0);
}

export function gradient(valley, point) {
  const f = SHAPES[valley.shape];
  const x = from(valley, point);
  return outOfValley(valley, lambdas(valley).map((l, i) => f.slope(x[i], l, valley.beta)));
}

function curvatures(valley, point) {
  const f = SHAPES[valley.shape];
  const x = from(valley, point);
  return lambdas(valley).map((l, i) => f.curvature(x[i], l, valley.beta));
}

// The largest eigenvalue anywhere between two points: along each axis the curvature falls off on both sides of its peak.
export function supremum(valley, start, end) {
  const f = SHAPES[valley.shape];
  const [a, b] = [from(valley, start), from(valley, end)];
  return Math.max(...lambdas(valley).map((l, i) => {
    const nearest = a[i] * b[i] <= 0 ? 0 : Math.min(Math.abs(a[i]), Math.abs(b[i]));
    const furthest = Math.max(Math.abs(a[i]), Math.abs(b[i]));
    return f.curvature(Math.min(Math.max(f.peak, nearest), furthest), l, valley.beta);
  }));
}

export const displacement = (theta, cut) => theta.map((weight, i) => (cut[i] ? -weight : 0));

// Everything that is known of one cut from theta.
export function cost(valley, theta, cut) {
  const d = displacement(theta, cut);
  const squared = dot(d, d);
  const slope = dot(gradient(valley, theta), d);
  const here = curvatures(valley, theta);
  const along = inValley(valley, d);
  const curvature = (here[0] * along[0] ** 2 + here[1] * along[1] ** 2) / 2;
  const way = NODES.map(([place, weight]) => weight * dot(gradient(valley, add(theta, d, place)), d));
  return {
    d,
    length: Math.sqrt(squared),
    before: loss(valley, theta),
    after: loss(valley, add(theta, d)),
    rise: loss(valley, add(theta, d)) - loss(valley, theta),
    slope,
    curvature,
    taylor: slope + curvature,
    path: way.reduce((sum, part) => sum + part, 0),
    lambda_here: slope + Math.max(...here) * squared / 2,
    lambda_bound: slope + supremum(valley, theta, add(theta, d)) * squared / 2,
    in_sharp: squared > 0 ? along[0] ** 2 / squared : 0,
  };
}

// Rise, Taylor and bound along the way, for a from 0 to 1.
export function profile(valley, theta, cut, steps = 64) {
  const known = cost(valley, theta, cut);
  const places = Array.from({ length: steps + 1 }, (_, i) => i / steps);
  return {
    places,
    rise: places.map((a) => loss(valley, add(theta, known.d, a)) - known.before),
    slope: places.map((a) => a * known.slope),
    taylor: places.map((a) => a * known.slope + a * a * known.curvature),
    bound: places.map((a) => a * known.slope + a * a * (known.lambda_bound - known.slope)),
    nodes: NODES.map(([place]) => [place, loss(valley, add(theta, known.d, place)) - known.before]),
  };
}

// Where training ends that holds the doomed weights at (1 - t) of what they were, in a bowl: the survivors settle anew.
export function settled(valley, cut, t) {
  const [cos, sin] = [Math.cos(valley.angle), Math.sin(valley.angle)];
  const cross = (valley.sharp - valley.flat) * cos * sin;  // H12
  const own = [valley.sharp * cos ** 2 + valley.flat * sin ** 2, valley.sharp * sin ** 2 + valley.flat * cos ** 2];
  const [a, b] = valley.minimum;
  if (cut[0] && cut[1]) return [(1 - t) * a, (1 - t) * b];
  if (cut[0]) return [(1 - t) * a, b + cross / own[1] * t * a];
  if (cut[1]) return [a + cross / own[0] * t * b, (1 - t) * b];
  return [a, b];
}

// Points of equal loss around the minimum. The loss grows along every ray, so that one bisection a ray finds it.
export function contour(valley, level, rays = 80, furthest = 12) {
  const f = SHAPES[valley.shape];
  const [l1, l2] = lambdas(valley);
  return Array.from({ length: rays }, (_, i) => {
    const ray = [Math.cos(2 * Math.PI * i / rays), Math.sin(2 * Math.PI * i / rays)];
    const squeezed = [ray[0] / Math.sqrt(l1), ray[1] / Math.sqrt(l2)];  // even steps along a long ellipse
    const size = Math.hypot(...squeezed);
    const way = squeezed.map((part) => part / size);
    let [low, high] = [0, furthest];
    for (let step = 0; step < 28; step += 1) {
      const r = (low + high) / 2;
      const value = f.value(r * way[0], l1, valley.beta) + f.value(r * way[1], l2, valley.beta);
      if (value < level) low = r;
      else high = r;
    }
    return add(valley.minimum, outOfValley(valley, [low * way[0], low * way[1]]));
  });
}
