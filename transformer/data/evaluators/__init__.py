"""Evaluators: fixed sequences that tell strategies apart.  Each has its own file.

| name  | context                   | labels                               | target            |
|-------|---------------------------|--------------------------------------|-------------------|
| train | bursty, in every mode     | true                                 | query's label     |
| icl   | query's class and another | 0 and 1 in random order              | query class's     |
| flip  | query's class and another | the two true labels swapped          | the swapped label |
| ciwl  | distinct other classes    | one overwritten by the query's label | query's label     |
| iwl   | distinct other classes    | true; the query's is absent          | query's label     |

These five are in every run that can have them.  `flip` is 1 for in-context learning and 0 for
either in-weights strategy; chance is 0.5 for the in-context accuracy of icl, flip and ciwl (context
of 2).  Classes are drawn uniformly, exemplars with replacement and without noise, whatever the
training data are.
"""
