// The layers that a model on the page may have, in plain JavaScript. A tensor is {shape, data}: an image has the shape
// [channels, rows, columns], data is a Float32Array in that order; a layer maps a tensor to a tensor. page.py inlines
// those functions that a page uses; it finds them as the blocks between blank lines.
"use strict";

/** A tensor, of zeros where no data is given. */
function tensor(shape, data) {
  return {shape, data: data ?? new Float32Array(shape.reduce((a, b) => a * b, 1))};
}

/** Base64 text as bytes. */
function bytes(text) {
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

/** Base64 text as little-endian float32. */
function floats(text) {
  return new Float32Array(bytes(text).buffer);
}

/** Apply layers, a list of [name, function], one after the other. */
function run(layers, x) {
  return layers.reduce((x, [, layer]) => layer(x), x);
}

/** 2-d convolution, zero-padded; the kernel is (outputs, inputs / groups, rows, columns). */
function conv2d(x, kernel, bias, {stride: [downwards, across], padding: [top, left], dilation: [down, right]}, groups) {
  const [, height, width] = x.shape, [outputs, inputs, rows, columns] = kernel.shape;
  const y = tensor([outputs, Math.floor((height + 2 * top - down * (rows - 1) - 1) / downwards) + 1,
    Math.floor((width + 2 * left - right * (columns - 1) - 1) / across) + 1]);
  let at = 0;
  for (let output = 0; output < outputs; output++) {
    const first = Math.floor(output * groups / outputs) * inputs;  // input channel of this output's group
    for (let row = 0; row < y.shape[1]; row++) {
      for (let column = 0; column < y.shape[2]; column++) {
        let sum = bias ? bias.data[output] : 0;
        for (let input = 0; input < inputs; input++) {
          for (let r = 0; r < rows; r++) {
            const i = row * downwards - top + r * down;
            if (i < 0 || i >= height) continue;
            for (let c = 0; c < columns; c++) {
              const j = column * across - left + c * right;
              if (j < 0 || j >= width) continue;
              sum += x.data[((first + input) * height + i) * width + j]
                * kernel.data[((output * inputs + input) * rows + r) * columns + c];
            }
          }
        }
        y.data[at++] = sum;
      }
    }
  }
  return y;
}

/** Zero padding of each channel; a negative number crops. */
function zeroPad2d(x, [top, bottom, left, right]) {
  const [channels, height, width] = x.shape;
  const y = tensor([channels, top + height + bottom, left + width + right]);
  let at = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let i = -top; i < height + bottom; i++) {
      for (let j = -left; j < width + right; j++, at++) {
        if (i >= 0 && i < height && j >= 0 && j < width) y.data[at] = x.data[(channel * height + i) * width + j];
      }
    }
  }
  return y;
}

/** Bilinear resize of each channel, as PyTorch does with align_corners=False. */
function bilinear(x, [rows, columns]) {
  const [channels, height, width] = x.shape, y = tensor([channels, rows, columns]);
  const place = (i, from, to) => {  // where the centre of pixel i lies: the two pixels around it, the second one's weight
    const at = Math.max(0, (i + 0.5) * from / to - 0.5), first = Math.floor(at);
    return [first, Math.min(first + 1, from - 1), at - first];
  };
  let at = 0;
  for (let channel = 0; channel < channels; channel++) {
    const pixel = (row, column) => x.data[(channel * height + row) * width + column];
    for (let row = 0; row < rows; row++) {
      const [top, bottom, down] = place(row, height, rows);
      for (let column = 0; column < columns; column++) {
        const [left, right, across] = place(column, width, columns);
        y.data[at++] = (1 - down) * ((1 - across) * pixel(top, left) + across * pixel(top, right))
          + down * ((1 - across) * pixel(bottom, left) + across * pixel(bottom, right));
      }
    }
  }
  return y;
}

/** Reduce each window of each channel: start from a value, take the pixels inside the image, then finish. */
function pool2d(x, [rows, columns], [downwards, across], [top, left], start, take, finish) {
  const [channels, height, width] = x.shape;
  const y = tensor([channels, Math.floor((height + 2 * top - rows) / downwards) + 1,
    Math.floor((width + 2 * left - columns) / across) + 1]);
  let at = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < y.shape[1]; row++) {
      for (let column = 0; column < y.shape[2]; column++) {
        let value = start;
        for (let i = row * downwards - top; i < row * downwards - top + rows; i++) {
          for (let j = column * across - left; j < column * across - left + columns; j++) {
            if (i >= 0 && i < height && j >= 0 && j < width) {
              value = take(value, x.data[(channel * height + i) * width + j]);
            }
          }
        }
        y.data[at++] = finish(value);
      }
    }
  }
  return y;
}

/** Max-pooling. */
function maxPool2d(x, size, stride, padding) {
  return pool2d(x, size, stride, padding, -Infinity, Math.max, value => value);
}

/** Average pooling; padding counts as zeros. */
function averagePool2d(x, size, stride, padding) {
  return pool2d(x, size, stride, padding, 0, (a, b) => a + b, sum => sum / (size[0] * size[1]));
}

/** Global average pooling: the mean of each channel. */
function globalAverage(x) {
  const places = x.shape[1] * x.shape[2], y = tensor([x.shape[0], 1, 1]);
  x.data.forEach((value, i) => { y.data[Math.floor(i / places)] += value / places; });
  return y;
}

/** BatchNorm in eval mode, folded into a scale and a shift for each channel. */
function scaleShift(x, scale, shift) {
  const places = x.data.length / x.shape[0];
  return tensor(x.shape, x.data.map((value, i) => {
    const channel = Math.floor(i / places);
    return value * scale.data[channel] + shift.data[channel];
  }));
}

/** An elementwise function. */
function each(x, f) {
  return tensor(x.shape, x.data.map(value => f(value)));
}

/** The same values as a vector. */
function flatten(x) {
  return tensor([x.data.length], x.data);
}

/** Linear layer; the weights are (outputs, inputs). */
function linear(x, weight, bias) {
  const [outputs, inputs] = weight.shape, y = tensor([outputs]);
  for (let output = 0; output < outputs; output++) {
    let sum = bias ? bias.data[output] : 0;
    for (let input = 0; input < inputs; input++) sum += x.data[input] * weight.data[output * inputs + input];
    y.data[output] = sum;
  }
  return y;
}

/** The elementwise sum of two tensors of one shape. */
function add(x, y) {
  return tensor(x.shape, x.data.map((value, i) => value + y.data[i]));
}

/** Single-weight neurons: one weight and one bias for each value. */
function neurons(x, weight, bias) {
  return tensor(x.shape, x.data.map((value, i) => value * weight.data[i] + bias.data[i]));
}

/** Each class is the sum of its own block of values, over the square root of their number. */
function classSums(x, classes) {
  const size = x.data.length / classes, y = tensor([classes]);
  x.data.forEach((value, i) => { y.data[Math.floor(i / size)] += value / Math.sqrt(size); });
  return y;
}

/** Spatial attention: each position is scaled by a sigmoid gate, computed from its channels' mean and maximum. */
function spatialAttention(x, gate) {
  const [channels, height, width] = x.shape, places = height * width, summary = tensor([2, height, width]);
  summary.data.fill(-Infinity, places);
  x.data.forEach((value, i) => {
    summary.data[i % places] += value / channels;
    summary.data[places + i % places] = Math.max(summary.data[places + i % places], value);
  });
  const gates = run(gate, summary).data;
  return tensor(x.shape, x.data.map((value, i) => value / (1 + Math.exp(-gates[i % places]))));
}

/** Mixture of experts: their outputs are weighted at each position by the softmax of a router. */
function mixture(x, router, experts) {
  const routed = run(router, x), places = x.shape[1] * x.shape[2], y = tensor(x.shape);
  const gates = tensor(routed.shape);
  for (let place = 0; place < places; place++) {
    softmax(experts.map((_, e) => routed.data[e * places + place]))
      .forEach((probability, e) => { gates.data[e * places + place] = probability; });
  }
  experts.forEach((expert, e) => {
    run(expert, x).data.forEach((value, i) => { y.data[i] += value * gates.data[e * places + i % places]; });
  });
  return y;
}

/** The error function, to 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. */
function erf(v) {
  const t = 1 / (1 + 0.3275911 * Math.abs(v));
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(v) * (1 - series * Math.exp(-v * v));
}

/** Softmax: probabilities from logits. */
function softmax(values) {
  const largest = Math.max(...values), powers = Array.from(values, value => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map(power => power / sum);
}
