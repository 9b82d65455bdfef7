// The layers that a model on the page may have, in plain JavaScript. A tensor is {shape, data}: an image has the shape
// [channels, rows, columns], data is a Float32Array in that order. A layer is {kind, title, ...options} of javascript.py.
"use strict";

/** A tensor, of zeros where no data is given. */
const tensor = (shape, data) => ({shape, data: data ?? new Float32Array(shape.reduce((a, b) => a * b, 1))});

/** Base64 text as bytes. */
const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));

/** Apply layers one after the other. */
const run = (layers, x) => layers.reduce((x, layer) => LAYERS[layer.kind](x, layer), x);

/** An elementwise function of the value, its channel and its index. */
function each(x, f) {
  const places = x.data.length / x.shape[0];
  return tensor(x.shape, x.data.map((value, i) => f(value, Math.floor(i / places), i)));
}

/** A tensor whose values f computes from channel, row and column. */
function map([channels, height, width], f) {
  const y = tensor([channels, height, width]);
  let at = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) y.data[at++] = f(channel, row, column);
    }
  }
  return y;
}

/** How many windows of a size fit into an image at a stride: rows and columns. */
const windows = (x, size, stride, padding) =>
  size.map((n, axis) => Math.floor((x.shape[1 + axis] + 2 * padding[axis] - n) / stride[axis]) + 1);

/** Reduce the values of each window of each channel. */
function pool(x, {size: [rows, columns], stride: [down, right]}, reduce) {
  const [channels, height, width] = x.shape;
  return map([channels, ...windows(x, [rows, columns], [down, right], [0, 0])], (channel, row, column) => {
    const start = (channel * height + row * down) * width + column * right;
    let result = x.data[start];
    for (let i = 1; i < rows * columns; i++) {
      result = reduce(result, x.data[start + Math.floor(i / columns) * width + i % columns]);
    }
    return result;
  });
}

/** Probabilities from logits. */
function softmax(values) {
  const largest = Math.max(...values), powers = Array.from(values, value => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map(power => power / sum);
}

const LAYERS = {
  /** 2-d convolution, zero-padded; the kernel is (outputs, inputs / groups, rows, columns). */
  convolution(x, {kernel, bias, stride, padding, groups}) {
    const [, height, width] = x.shape, [outputs, inputs, rows, columns] = kernel.shape;
    const [down, right] = stride, [top, left] = padding;
    return map([outputs, ...windows(x, [rows, columns], stride, padding)], (output, row, column) => {
      const first = Math.floor(output * groups / outputs) * inputs;  // input channel of this output's group
      let sum = bias ? bias.data[output] : 0;
      for (let input = 0; input < inputs; input++) {
        for (let r = 0; r < rows; r++) {
          const i = row * down - top + r;
          if (i < 0 || i >= height) continue;
          for (let c = 0; c < columns; c++) {
            const j = column * right - left + c;
            if (j < 0 || j >= width) continue;
            sum += x.data[((first + input) * height + i) * width + j]
              * kernel.data[((output * inputs + input) * rows + r) * columns + c];
          }
        }
      }
      return sum;
    });
  },

  /** Zero padding of each channel; a negative number crops. */
  pad(x, {sides: [left, right, top, bottom]}) {
    const [channels, height, width] = x.shape;
    return map([channels, top + height + bottom, left + width + right], (channel, row, column) => {
      const i = row - top, j = column - left;
      return i >= 0 && i < height && j >= 0 && j < width ? x.data[(channel * height + i) * width + j] : 0;
    });
  },

  /** Bilinear resize of each channel, as PyTorch does with align_corners=False. */
  resize(x, {size: [rows, columns]}) {
    const [channels, height, width] = x.shape;
    const place = (i, from, to) => {  // where the centre of pixel i lies: two pixels around it, the second one's weight
      const at = Math.max(0, (i + 0.5) * from / to - 0.5), first = Math.floor(at);
      return [first, Math.min(first + 1, from - 1), at - first];
    };
    return map([channels, rows, columns], (channel, row, column) => {
      const [top, bottom, down] = place(row, height, rows), [left, right, across] = place(column, width, columns);
      const pixel = (i, j) => x.data[(channel * height + i) * width + j];
      return (1 - down) * ((1 - across) * pixel(top, left) + across * pixel(top, right))
        + down * ((1 - across) * pixel(bottom, left) + across * pixel(bottom, right));
    });
  },

  maxPool: (x, window) => pool(x, window, Math.max),

  averagePool(x, window) {
    return each(pool(x, window, (a, b) => a + b), sum => sum / (window.size[0] * window.size[1]));
  },

  /** BatchNorm in eval mode: a factor and a shift for each channel. */
  scale: (x, {factor, shift}) => each(x, (value, channel) => value * factor.data[channel] + shift.data[channel]),

  relu: x => each(x, value => Math.max(value, 0)),

  silu: x => each(x, value => value / (1 + Math.exp(-value))),

  flatten: x => tensor([x.data.length], x.data),

  /** Linear layer; the weights are (outputs, inputs). */
  linear(x, {weight: {shape: [outputs, inputs], data}, bias}) {
    return each(tensor([outputs]), (_, output) =>
      x.data.reduce((sum, value, input) => sum + value * data[output * inputs + input], bias ? bias.data[output] : 0));
  },

  /** Single-weight neurons: one weight and one bias for each value. */
  neurons: (x, {weight, bias}) => each(x, (value, _, i) => value * weight.data[i] + bias.data[i]),

  /** Each of the ten classes is the sum of its own block of values, over the square root of their number. */
  classSums(x) {
    const size = x.data.length / 10, y = tensor([10]);
    x.data.forEach((value, i) => { y.data[Math.floor(i / size)] += value / Math.sqrt(size); });
    return y;
  },

  /** x + f(x), f being layers in a row. */
  residual(x, {layers}) {
    const f = run(layers, x);
    return each(x, (value, _, i) => value + f.data[i]);
  },

  /** Spatial attention: each place is scaled by a sigmoid gate, computed from its channels' mean and maximum. */
  attention(x, {gate}) {
    const [channels, height, width] = x.shape, places = height * width;
    const summary = map([2, height, width], (maximum, row, column) => {
      const values = Array.from({length: channels}, (_, channel) => x.data[channel * places + row * width + column]);
      return maximum ? Math.max(...values) : values.reduce((a, b) => a + b) / channels;
    });
    const gates = run(gate, summary).data;
    return each(x, (value, _, i) => value / (1 + Math.exp(-gates[i % places])));
  },

  /** Mixture of experts: their outputs, weighted at each place by the softmax of a router. */
  mixture(x, {router, experts}) {
    const routed = run(router, x), outputs = experts.map(expert => run(expert, x));
    const places = x.shape[1] * x.shape[2];
    const weights = Array.from({length: places}, (_, place) =>
      softmax(experts.map((_, expert) => routed.data[expert * places + place])));
    return each(x, (_, channel, i) =>
      outputs.reduce((sum, output, expert) => sum + output.data[i] * weights[i % places][expert], 0));
  },
};
