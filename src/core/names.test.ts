import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isQualifiedKey,
  KSERVE_NAME,
  kubernetesName,
  LABEL_VALUE,
  labelValue,
  MIN_HASHED_NAME,
  pathSegment,
  unsafePath,
} from './names.ts';

const text = fc.string({ unit: 'binary', maxLength: 120 });

describe('kubernetesName', () => {
  it('leaves a valid name as it is', () => {
    expect(kubernetesName('iris-v2')).toBe('iris-v2');
  });

  it('lowers case, replaces what is not allowed, and marks the name as altered', () => {
    expect(kubernetesName('Iris_Model.v2')).toMatch(/^iris-model-v2-[0-9a-f]{8}$/);
  });

  it('puts a letter before a digit', () => {
    expect(kubernetesName('3d-unet')).toMatch(/^m-3d-unet-[0-9a-f]{8}$/);
  });

  it('cuts a long name so that the hash fits', () => {
    expect(kubernetesName('a'.repeat(60))).toMatch(/^a{31}-[0-9a-f]{8}$/);
  });

  it('makes a name of nothing at all', () => {
    expect(kubernetesName('')).toMatch(/^m-[0-9a-f]{8}$/);
  });

  it('is valid for KServe within any limit, and carries its hash where it was altered', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: MIN_HASHED_NAME, max: 63 }), (source, limit) => {
        const name = kubernetesName(source, limit);
        expect(name).toMatch(KSERVE_NAME);
        expect(name.length).toBeLessThanOrEqual(limit);
        if (name !== source) expect(name).toMatch(/-[0-9a-f]{8}$/);
      }),
    );
  });

  it('keeps sources apart', () => {
    fc.assert(
      fc.property(text, text, (left, right) => {
        fc.pre(left !== right);
        expect(kubernetesName(left)).not.toBe(kubernetesName(right));
      }),
    );
    expect(kubernetesName('Iris')).not.toBe(kubernetesName('iris'));
    expect(kubernetesName('a_b')).not.toBe(kubernetesName('a.b'));
  });
});

describe('labelValue', () => {
  it('leaves a valid value as it is, and joins segments', () => {
    expect(labelValue('v1.0_a')).toBe('v1.0_a');
    expect(labelValue('ml/vision/iris')).toBe('ml-vision-iris');
  });

  it('is valid for any text', () => {
    fc.assert(fc.property(text, (source) => LABEL_VALUE.test(labelValue(source))));
  });
});

describe('isQualifiedKey', () => {
  it('takes a name with or without a DNS prefix', () => {
    expect(['team', 'example.com/team', 'nvidia.com/gpu', 'a_b.c'].every(isQualifiedKey)).toBe(true);
  });

  it('refuses what Kubernetes refuses', () => {
    const keys = ['', '/team', 'example.com/', 'Example.com/team', 'a/b/c', '-a', 'a b', 'x'.repeat(64)];
    expect(keys.filter(isQualifiedKey)).toEqual([]);
  });
});

describe('pathSegment', () => {
  it('leaves a safe segment as it is', () => {
    expect(pathSegment('v1.0.0')).toBe('v1.0.0');
  });

  it('makes one segment of several', () => {
    expect(pathSegment('feature/new head')).toMatch(/^feature-new-head-[0-9a-f]{8}$/);
  });

  it('is one safe segment for any text, and keeps sources apart', () => {
    fc.assert(
      fc.property(text, text, (left, right) => {
        const segment = pathSegment(left);
        expect(segment).not.toContain('/');
        expect(unsafePath(segment)).toBeNull();
        if (left !== right) expect(pathSegment(right)).not.toBe(segment);
      }),
    );
  });
});

describe('unsafePath', () => {
  it('takes a relative path', () => {
    expect(unsafePath('prod/vision/iris.yaml')).toBeNull();
  });

  it.each([
    ['', 'is empty'],
    ['/etc/passwd', 'starts with "/"'],
    ['a/../b', 'has the segment ".."'],
    ['a//b', 'has an empty segment'],
    ['.git/config', 'starts with "."'],
    ['a/-rf', 'starts with "-"'],
    ['a\\b', 'backslash'],
    ['a\nb', 'control character'],
  ])('refuses %j', (path, why) => {
    expect(unsafePath(path)).toContain(why);
  });
});
